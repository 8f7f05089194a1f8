"""Judging records piece by piece: what is remembered of each entity, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from aestream.detector.detection import Detection, Wanted
from aestream.detector.fitted import Fitted
from aestream.detector.judgement import alone, follow
from aestream.detector.series import Series
from aestream.detector.silence import Silence, Silent
from aestream.errors import DataError
from aestream.features.table import read_table
from aestream.state.alarms import Alarms
from aestream.state.entities import Values
from aestream.state.episodes import QUIET
from aestream.state.partition import PartitionState
from aestream.state.store import Part, Store, Taken
from aestream.state.usual import Records
from aestream.types import (
    Eviction,
    Flags,
    Key,
    Level,
    Matrix,
    Memory,
    Origin,
    Partition,
    Status,
    Vector,
    spans_of,
)


class Stream:
    """Records as they come, in pieces of any size: the results are those of the whole in one piece.

    A detector that judges records alone remembers nothing.
    """

    def __init__(self, fitted: Fitted, store: Store | None) -> None:
        self._fitted = fitted
        self._store = store
        self._silence = None if store is None or fitted.series is None else Silence(fitted.series, store)

    @classmethod
    def after_training(cls, fitted: Fitted) -> Self:
        """Start where the training ended."""
        return cls(fitted, None if fitted.series is None else Store(fitted.series.end.copy()))

    @classmethod
    def of_topics(cls, fitted: Fitted, time_to_live: float) -> Self:
        """Start with nothing; an entity is forgotten after so many seconds without a record."""
        return cls(fitted, None if fitted.series is None else Store(fitted.series.nothing, time_to_live))

    def detect(
        self,
        X: Any,  # noqa: N803
        *,
        keys: Any = None,
        times: Any = None,
        explain: bool | Flags = False,
        latent: bool = False,
        reconstruction: bool = False,
    ) -> Detection:
        """Judge the next n records, in order of arrival.

        Args:
            X: an array (n, d), a DataFrame or a list of records.
            keys: of each record's entity, (n,), or the names of the columns that tell entities apart.
            times: of the records, (n,): seconds since 1970, dates or ISO 8601 text, or the name of a column.
            explain: whether the flagged records are explained; or which records are, (n,).
            latent: whether latent vectors are returned.
            reconstruction: whether reconstructions are returned.

        Raises DataError when keys or times are missing that the training had, or do not fit the rows.
        """
        return self.judge(*self.read(X, keys, times), Wanted(explain, latent, reconstruction))

    def read(self, X: Any, keys: Any, times: Any) -> tuple[Matrix, Sequence[Key], Vector | None]:  # noqa: N803
        """Read what `detect` is given, for `judge`. Raises what `detect` does."""
        matrix, series = read_table(X, self._fitted.schema), self._fitted.series
        return matrix, *(((), None) if series is None else series.take(X, keys, times))

    def judge(
        self,
        matrix: Matrix,
        keys: Sequence[Key],
        times: Vector | None,
        wanted: Wanted,
        origin: Origin | None = None,
    ) -> Detection:
        """Judge rows (n, d), with their keys (n,) and times (n,) in seconds.

        `origin` says where in topics they came from: an entity in two partitions is two.
        """
        if self._store is None:
            return alone(self._fitted, matrix, wanted)
        if origin is None:
            return self._follow(self._store.take(keys), matrix, keys, times, wanted)
        passed = self._store.passed(origin.spans, origin.stamps)
        taken = self._store.take(keys, origin.spans, passed, origin.offsets)
        return self._follow(taken, matrix, keys, times, wanted)

    def recall(self, matrix: Matrix, keys: Sequence[Key], times: Vector | None, origin: Origin) -> None:
        """See rows (n, d) once more, for what is to be remembered, but those that their entity remembers already.

        Raises DataError if the detector judges records alone.
        """
        store = self.store
        passed = store.passed(origin.spans, origin.stamps)
        new = ~np.concatenate(
            [store.of(part).known(keys[start:stop], origin.offsets[start:stop]) for part, start, stop in origin.spans]
        )
        rows = np.flatnonzero(new)
        some, spans = [keys[row] for row in rows.tolist()], spans_of(origin.spans, rows)
        taken = store.take(some, spans, passed[rows], origin.offsets[rows])
        self._follow(taken, matrix[rows], some, None if times is None else times[rows], Wanted())

    def _follow(
        self, taken: Taken, matrix: Matrix, keys: Sequence[Key], times: Vector | None, wanted: Wanted
    ) -> Detection:
        """Judge rows with what was taken of their entities, and put that back."""
        found = follow(self._fitted, self._series, taken, matrix, keys, times, wanted)
        self.store.put(taken)
        return found

    def forget_later(self, keys: Sequence[Key], times: Vector | None) -> None:
        """Forget the entities of which most records, with these keys (n,) and times (n,), lie before what is known."""
        if self._store is None or times is None or not len(times):
            return
        taken = self._store.take(keys)
        earlier = times < taken.values["past"]["last"][taken.owner]
        mostly = np.bincount(taken.owner, earlier) > np.bincount(taken.owner) / 2
        self._store.of(None).entities.drop(keys[row] for row in taken.first[mostly].tolist())

    @property
    def levels(self) -> dict[Level, int]:
        """How many entities there are of each level. Many that have moved ask for a new training."""
        parts = self.parts.values()
        return {level: sum(part[level] for part in parts) for level in Level}

    @property
    def parts(self) -> dict[Part, dict[Level, int]]:
        """The same, by partition."""
        if self._store is None:
            return {}
        found = {}
        for part in self._store.parts():
            state = self._store.of(part)
            codes = self._series.parts.alarms.levels(state.values["alarms"])
            counts = {level: int(np.count_nonzero(codes == level)) for level in (Level.HELD, Level.MOVED)}
            found[part] = {Level.USUAL: len(state.entities) - sum(counts.values()), **counts}
        return found

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget the entities of partitions that are not ours any more."""
        if self._store is not None:
            self._store.drop(partitions)

    def tidy(self, max_bytes: int) -> Memory:
        """Forget entities that were not seen for long, and others if the rest is larger than `max_bytes`."""
        if self._store is None:
            return Memory({}, 0, 0, dict.fromkeys(Eviction, 0))
        evicted = {Eviction.TIME_TO_LIVE: self._store.forget_old(), Eviction.BYTES: self._store.evict(max_bytes)}
        episodes = sum(int(np.count_nonzero(values["episodes"]["quiet"] < QUIET)) for values in self._store.values())
        splits = self._store.splits
        return Memory(self.parts, episodes, self._store.size, evicted, splits.take(), splits.example)

    def silent(self, idle: Mapping[Partition, float]) -> list[Silent]:
        """The entities that fell silent in the middle of an episode (see `Silence`)."""
        return [] if self._silence is None else self._silence.look(idle)

    def adopt(self, former: Stream) -> bool:
        """Go on from what the stream of another model remembers; False, and nothing done, where that does not fit.

        It fits if both models read the same features alike, over windows of the same length. The rows stay as they are;
        each threshold takes the place among this model's errors that it had among the other's.
        """
        if not self.fits(former):
            return False
        for part in former.store.parts():  # one after another, so that not all is in memory twice
            self.accept(part, former.give(part))
        return True

    def fits(self, former: Stream) -> bool:
        """Whether this model could go on from what the stream of another one remembers."""
        series, other = self._fitted.series, former._fitted.series
        if series is None or other is None:
            return False
        alike = self._fitted.schema.reads_like(former._fitted.schema)
        return alike and series.parts.layout == other.parts.layout

    def give(self, part: Part) -> PartitionState:
        """Give up a partition, and return what was remembered of it, in terms that any model understands."""
        state = self.store.give(part)
        self._restate(state, Alarms.relative)
        return state

    def accept(self, part: Part, state: PartitionState) -> None:
        """Go on from what was given up of a partition."""
        self._restate(state, Alarms.absolute)
        self.store.accept(part, state)

    def entries(self, part: Part, keys: Sequence[Key]) -> Values:
        """What is remembered of some entities (e,), all known, as `give` has it."""
        state = self.store.of(part)
        values = state.values[state.entities.places(keys)]
        values["alarms"] = self._series.parts.alarms.relative(values["alarms"], self._usual(keys))
        return values

    @property
    def store(self) -> Store:
        """What is remembered. Raises DataError if the detector judges records alone."""
        if self._store is None:
            raise DataError("this detector judges records alone, and remembers none")
        return self._store

    @property
    def remembers(self) -> bool:
        """Whether records are judged with those before them."""
        return self._store is not None

    @property
    def reading(self) -> str:
        """What the rows that are remembered mean: equal for models with the same features."""
        return self._fitted.schema.reading

    @property
    def _series(self) -> Series:
        if self._fitted.series is None:
            raise DataError("this detector judges records alone, and remembers none")
        return self._fitted.series

    def _usual(self, keys: Sequence[Key]) -> Records:
        """The usual error levels of entities with these keys (e,)."""
        series = self._series
        return series.usual[series.numbers[series.places_of(keys)]]

    def _restate(self, state: PartitionState, how: Callable[[Alarms, Records, Records], Records]) -> None:
        keys = list(state.entities)
        places = state.entities.places(keys)
        values = state.values[places]
        values["alarms"] = how(self._series.parts.alarms, values["alarms"], self._usual(keys))
        state.values[places] = values

    def snapshot(self) -> bytes:
        """Everything that is remembered, for `restore`."""
        return b"" if self._store is None else self._store.of(None).entities.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot. Raises DataError if it is not one of such a detector."""
        if self._store is not None:
            self._store.of(None).entities.restore(snapshot)
        elif snapshot:
            raise DataError("this detector judges records alone, and has no snapshots: leave this one out")


def refuse_unsorted(found: Detection) -> None:
    """Raise DataError when most records of a whole table are late: it is not sorted, and nothing could be flagged."""
    late, count = np.count_nonzero(found.status == Status.LATE), len(found.status)
    if 2 * late > count:
        raise DataError(
            f"{late} of {count} records are older than one of their entity before them, and could not be flagged: "
            "sort the table by its times"
        )
