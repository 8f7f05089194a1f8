"""What a model knows of records that follow each other: its entities, and what is remembered of each."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aestream.detector.options import Options
from aestream.detector.scales import Scales
from aestream.errors import DataError
from aestream.features.clock import Clock
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.features.series import keys_in, keys_of, names_of, times_of, unit_of
from aestream.state import partition
from aestream.state.alarms import Alarms
from aestream.state.entities import Entities, Values
from aestream.state.episodes import Episodes
from aestream.state.past import Past, Steps
from aestream.state.usual import USUAL
from aestream.types import Arrays, Key, Matrix, Places, Vector


@dataclass(frozen=True, slots=True)
class Naming:
    """How the training told entities and times.

    `keyed`, `timed`: whether it did; `keys`, `times`: by which columns; `unit`: of numbers that are times (see
    `features.series.seconds`).
    """

    keyed: bool = False
    timed: bool = False
    keys: Sequence[str] | None = None
    times: str | None = None
    unit: float = 1.0

    @classmethod
    def of(cls, table: Any, keys: Any, times: Any) -> Self:
        """Take note of what `fit` was given: names of columns, or the keys and times themselves."""
        names = list(names_of(table, keys)) or None
        time = times if isinstance(times, str) else None
        return cls(keys is not None, times is not None, names, time, unit_of(table, times))


@dataclass(frozen=True, slots=True)
class Parts:
    """What remembers something of each entity."""

    past: Past
    alarms: Alarms
    episodes: Episodes

    @property
    def layout(self) -> np.dtype[Any]:
        """What is remembered of one entity: a field for each part."""
        names = ("past", "alarms", "episodes")
        return np.dtype([*((name, np.dtype(getattr(self, name).layout)) for name in names), *partition.LAYOUT])

    def blank(self, usual: Values) -> Values:
        """What is remembered of an entity before its first record, shape (): `usual` (1,) are its error levels."""
        blank = np.zeros((), self.layout)
        blank["past"], blank["episodes"] = self.past.blank, self.episodes.blank(1)[0]
        blank["alarms"], blank["seen"] = self.alarms.blank(usual)[0], np.nan
        return blank


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The parts that a model of single records does without.

    `parts` are what is remembered of an entity, and how it goes on; `end` is that at the end of the training. `rate` is
    the requested false-alarm rate. `numbers` (k + 1,) number those of the k entities in training that have scaling and
    error levels of their own, from 1 (see `places_of`); 0 stands for all others, in `scales` and in `usual` (e + 1,),
    the levels. `longest` (k + 1,): the longest interval of each, in seconds, that is no gap. `thresholds` (e + 1,): the
    errors above which a record is an anomaly where nothing has drifted. `rates` (c,): what is usual of each counter;
    NaN for one that may be missing.
    """

    parts: Parts
    rate: float
    clock: Clock
    scales: Scales
    rates: Vector
    numbers: Places
    longest: Vector
    usual: Values
    thresholds: Vector
    end: Entities
    naming: Naming

    def take(self, table: Any, keys: Any, times: Any) -> tuple[Sequence[Key], Vector | None]:
        """Read the keys (n,) and the times (n,), in seconds, of n records; as in training where not given.

        Raises DataError when they are missing and the training had them, and the other way round for times.
        """
        names = self.naming.keys if keys is None else None
        times = times if times is not None else self.naming.times
        if keys is None and self.naming.keyed and not names:
            raise DataError("the detector learnt from records with keys: give `keys`")
        if (times is None) is self.naming.timed:
            raise DataError(
                "the detector learnt from records with times: give `times`"
                if times is None
                else "the detector learnt from records without times: leave `times` out, or fit it with them"
            )
        found = keys_in(table, names) if names else keys_of(table, keys)
        return found, times_of(table, times, self.naming.unit)

    def places_of(self, keys: Sequence[Key]) -> Places:
        """Where `numbers` and `longest` have each key's entity, (n,): those of `end` from 1, 0 for a new one."""
        return self.end.find(keys) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return what `restore` reads beside the arrays, as JSON types."""
        return {
            "window": self.parts.past.window,
            "rate": self.rate,
            "entities": len(self.end),
            "naming": asdict(self.naming),
        }

    def arrays(self) -> dict[str, Arrays]:
        """Return the numbers that a model directory keeps, by part."""
        own = {
            "usual": np.stack([self.usual[name] for name in USUAL.names or ()], axis=1),
            "thresholds": self.thresholds,
            "rates": self.rates,
            "numbers": self.numbers,
            "longest": self.longest,
            "end": _bytes(zlib.compress(self.end.snapshot(), 1)),  # short entities are mostly blank
        }
        return {"series": own, "scales": self.scales.arrays(), "clock": self.clock.arrays()}

    @classmethod
    def restore(
        cls, data: Mapping[str, Any], part: Callable[[str], Arrays], schema: FeatureSchema, options: Options
    ) -> Self:
        """Read what `to_dict` and `arrays` returned; `part` gives the arrays of a part. Raises whatever is amiss."""
        own = part("series")
        usual = np.empty(len(own["usual"]), USUAL)
        for name, column in zip(USUAL.names or (), own["usual"].T, strict=True):
            usual[name] = column
        parts = Parts(
            Past(len(schema), data["window"], schema.counters),
            Alarms(data["rate"], options.adaptation),
            Episodes(len(schema)),
        )
        end = Entities(parts.layout, parts.blank(usual[:1]))
        end.restore(zlib.decompress(own["end"].tobytes()))
        return cls(
            parts=parts,
            rate=data["rate"],
            clock=Clock.from_arrays(part("clock")),
            scales=Scales.from_arrays(part("scales")),
            rates=own["rates"],
            numbers=own["numbers"],
            longest=own["longest"],
            usual=usual,
            thresholds=own["thresholds"],
            end=end,
            naming=Naming(**data["naming"]),
        )

    @property
    def nothing(self) -> Entities:
        """What is remembered before the first record of any entity."""
        return Entities(self.end.layout, self.end.blank)

    def begin(self, values: Values, numbers: Places) -> None:
        """Let entities (e,) of which no record has been seen begin with the alarms of their numbers (e,)."""
        new = np.flatnonzero(self.parts.past.is_new(values["past"]))
        if len(new):
            values["alarms"][new] = self.parts.alarms.blank(self.usual[numbers[new]])


def with_rates(rows: Matrix, counters: Places, rates: Vector) -> Matrix:
    """Put the usual rates (c,) of counters into rows (r, d) where one is not known yet. Writes into them."""
    if len(counters) and np.isnan(own := rows[:, counters]).any():
        rows[:, counters] = np.where(np.isnan(own), rates, own)
    return rows


def without_unseen(rows: Matrix, encoder: FeatureEncoder) -> Matrix:
    """Rows (r, d) with the most frequent category in place of one that training has not seen."""
    unseen = encoder.schema.unseen(rows)
    return np.where(unseen, encoder.fill, rows) if unseen.any() else rows


def owners(steps: Steps, who: Places) -> Places:
    """The number of the entity that each of `steps.rows` belongs to, (r,), from those of the records, (n,)."""
    whose = np.zeros(len(steps.rows), np.intp)
    whose[steps.windows] = who[:, None]
    return whose


def logs_of(errors: Vector) -> Vector:
    """Logarithms of errors (n,) >= 0, all finite."""
    logs: Vector = np.log(np.maximum(errors, np.finfo(np.float64).tiny))
    return logs


def _bytes(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
