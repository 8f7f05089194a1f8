"""What a detector makes of a stretch of the past, record by record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.columns import Column, Kind, Value
from aestream.detector.detection import Detection
from aestream.detector.detector import Detector
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.files.offline import Replay
from aestream.files.rows import Rows
from aestream.messages.scores import FeatureShare
from aestream.pipeline import feature_shares
from aestream.types import Flags, Key, Level, Phase, Places, Status, Vector

# How many features of a flagged record are kept, largest share first.
TOP = 3

_TIME = Column(Kind.TIMESTAMP, unit="s")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The n records of a stretch that could be judged, entity by entity, each entity's in order of arrival; (n,) each.

    `rate` is the false-alarm rate that the detector was fitted for, and `remembers` says whether it knows the records
    before. `sampled`: whether its p-values are shares of the training records, which cannot tell lower rates apart.
    `entities` (e,) are the keys, in the order in which they came; `owner` says which of them a record belongs to, and
    `number` which record of the stretch it is. `times` are in seconds, None if they are not known. `p_value` is the
    chance that a normal record has such a score. `status` and `level` are codes; `lasted` says for how many records of
    its entity the level has been what it is. `opened` records open an episode, where the detector says so. `labels`
    mark what was wrong, None if nothing says so. `top` explains the flagged records, by their place here.

    `unusable` records could not be judged, the first of them for the reason `why`.
    """

    rate: float
    sampled: bool
    remembers: bool
    entities: Sequence[Key]
    owner: Places
    number: Places
    times: Vector | None
    score: Vector
    p_value: Vector
    anomaly: Flags
    status: NDArray[np.uint8]
    level: NDArray[np.uint8]
    lasted: Places
    opened: Flags | None
    labels: Flags | None
    top: dict[int, Sequence[FeatureShare]]
    unusable: int
    why: str | None

    def __len__(self) -> int:
        return len(self.score)

    def called(self, entity: int) -> str:
        """What an entity is called: the texts of its key; empty where all records are of one entity."""
        key = self.entities[entity]
        return " ".join("" if part is None else _text(part) for part in (key if isinstance(key, tuple) else (key,)))

    def when(self, places: Places) -> list[Value]:
        """When some records were, as ISO 8601 text; which records of the stretch where times are not known."""
        return self.number[places].tolist() if self.times is None else _TIME.show(self.times[places])

    @property
    def in_order(self) -> Flags:
        """Which records were not late, (n,)."""
        return np.asarray(self.status != Status.LATE)

    @property
    def days(self) -> float | None:
        """How many days the stretch spans; None where times are not known or do not pass."""
        if self.times is None or not np.isfinite(self.times).any():
            return None
        return float(np.nanmax(self.times) - np.nanmin(self.times)) / 86_400 or None

    @property
    def latest(self) -> Places:
        """The last record of each entity that was judged in full, ascending."""
        scored = np.flatnonzero(self.status == Status.SCORED)
        owner = self.owner[scored]
        return scored[np.flatnonzero(np.diff(owner, append=-1))]

    def at_level(self, level: Level) -> Places:
        """The last record of each entity that ends at a level."""
        latest = self.latest
        chosen: Places = latest[self.level[latest] == level]
        return chosen

    def since(self, place: int) -> int:
        """The record with which the level of the entity of one at `place` became what it is, as far back as is here.

        Only records that were judged in full count for how long a level has lasted.
        """
        if not self.lasted[place]:
            return place
        first = int(np.searchsorted(self.owner, self.owner[place]))
        scored = first + np.flatnonzero(self.status[first : place + 1] == Status.SCORED)
        return int(scored[-int(self.lasted[place]) :][0])


Progress = Callable[[int], None]  # (records so far)


def judge(detector: Detector, chunks: Iterable[Rows], progress: Progress) -> Outcome:
    """Judge chunks of records one after another. Raises DataError when none can be judged."""
    replay, gathered = Replay(detector), _Gathered(detector.schema)
    for rows in chunks:
        gathered.add(rows, replay.detect(rows, explain=True) if len(rows.matrix) else None)
        progress(gathered.seen)
    if not gathered.parts:
        if gathered.why is None:
            raise DataError("there are no records in the stretch: check --from, --to and what is there")
        raise DataError(f"no record of {gathered.unusable} can be judged, the first because {gathered.why}")
    return gathered.outcome(detector)


class _Gathered:
    """The results so far, in order of arrival."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.seen = self.unusable = 0
        self.why: str | None = None
        self.parts: list[dict[str, NDArray[Any]]] = []
        self._schema = schema
        self._places: defaultdict[Key, int] = defaultdict(count().__next__)
        self._top: dict[int, Sequence[FeatureShare]] = {}
        self._judged = 0

    def add(self, rows: Rows, found: Detection | None) -> None:
        """Add the results of a chunk; None if nothing of it could be judged."""
        if rows.problems and self.why is None:
            self.why = rows.problems[0][1]
        self.unusable += len(rows.problems)
        first, self.seen = self.seen, self.seen + len(rows.matrix) + len(rows.problems)
        if found is None:
            return
        marks, size = rows.marks, len(rows.matrix)
        keys = [None] * size if marks.keys is None else marks.keys
        part = {
            "owner": np.fromiter(map(self._places.__getitem__, keys), np.intp, size),
            "number": first + np.arange(size),
            "score": found.score,
            "p_value": found.p_value,
            "anomaly": found.anomaly,
            "status": found.status,
            "level": found.level,
            "lasted": found.moved,
        }
        optional = {"times": marks.times, "labels": marks.labels}
        optional["opened"] = None if found.episodes is None else found.phase == Phase.OPENED
        self.parts.append(part | {name: values for name, values in optional.items() if values is not None})
        if found.explained is not None and found.attribution is not None:
            shares = feature_shares(found.attribution, self._schema, TOP)
            self._top.update(zip((found.explained + self._judged).tolist(), shares, strict=True))
        self._judged += size

    def outcome(self, detector: Detector) -> Outcome:
        """Everything, entity by entity."""
        whole = {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}
        order = np.argsort(whole["owner"], kind="stable")
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        columns: dict[str, Any] = {name: values[order] for name, values in whole.items()}
        for name in ("times", "labels", "opened"):
            columns.setdefault(name, None)
        top = {int(place[row]): shares for row, shares in self._top.items()}
        return Outcome(
            rate=detector.false_alarm_rate,
            sampled=detector.options.calibrator == "quantile",
            remembers=detector.remembers,
            entities=list(self._places),
            top=top,
            unusable=self.unusable,
            why=self.why,
            **columns,
        )


def _text(part: object) -> str:
    text = part.decode(errors="replace") if isinstance(part, bytes) else str(part)
    return text if text.isprintable() else ascii(text)[1:-1]
