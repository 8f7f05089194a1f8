"""Judging records piece by piece: what is remembered of each entity, and how it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from aestream.detector.attribution import shares
from aestream.detector.detection import Detection, Episodes, Wanted
from aestream.detector.fitted import Fitted
from aestream.detector.series import Series, logs_of
from aestream.errors import DataError
from aestream.features.table import read_table
from aestream.state.entities import Values
from aestream.state.episodes import QUIET, Told
from aestream.state.store import Store, Taken
from aestream.types import Codes, Eviction, Flags, Key, Level, Matrix, Memory, Partition, Places, Span, Status, Vector


class Stream:
    """Records as they come, in pieces of any size: the results are those of the whole in one piece.

    A detector that judges records alone remembers nothing.
    """

    def __init__(self, fitted: Fitted, store: Store | None) -> None:
        self._fitted = fitted
        self._store = store

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
        *,
        spans: Sequence[Span] = (),
        stamps: Vector | None = None,
    ) -> Detection:
        """Judge rows (n, d), with their keys (n,) and times (n,) in seconds.

        `spans` are the partitions of topics that they came from: an entity that comes by two is two. `stamps` (n,) are
        the times of the messages, in seconds, by which entities are forgotten (see `Store`).
        """
        fitted = self._fitted
        if fitted.series is None or self._store is None:
            return alone(fitted, matrix, wanted)
        taken = self._store.take(keys, spans, stamps)
        found = follow(fitted, fitted.series, taken, matrix, keys, times, wanted)
        self._store.put(taken)
        return found

    def forget_later(self, keys: Sequence[Key], times: Vector | None) -> None:
        """Forget the entities of which most records, with these keys (n,) and times (n,), lie before what is known."""
        if self._store is None or times is None or not len(times):
            return
        taken = self._store.take(keys)
        earlier = times < taken.values["past"]["last"][taken.owner]
        mostly = np.bincount(taken.owner, earlier) > np.bincount(taken.owner) / 2
        self._store.of(None).drop(keys[row] for row in taken.first[mostly].tolist())

    @property
    def levels(self) -> dict[Level, int]:
        """How many entities there are of each level. Many that have moved ask for a new training."""
        if self._fitted.series is None or self._store is None:
            return dict.fromkeys(Level, 0)
        alarms = [values["alarms"] for values in self._store.values()]
        codes = np.concatenate([np.zeros(0, np.uint8), *map(self._fitted.series.parts.alarms.levels, alarms)])
        found = {level: int(np.count_nonzero(codes == level)) for level in Level}
        return found | {Level.USUAL: len(self._store) - found[Level.HELD] - found[Level.MOVED]}

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget the entities of partitions that are not ours any more."""
        if self._store is not None:
            self._store.drop(partitions)

    def tidy(self, max_bytes: int) -> Memory:
        """Forget entities that were not seen for long, and others if the rest is larger than `max_bytes`."""
        if self._store is None:
            return Memory(self.levels, 0, 0, dict.fromkeys(Eviction, 0))
        evicted = {Eviction.TIME_TO_LIVE: self._store.forget_old(), Eviction.BYTES: self._store.evict(max_bytes)}
        episodes = sum(int(np.count_nonzero(values["episodes"]["quiet"] < QUIET)) for values in self._store.values())
        return Memory(self.levels, episodes, self._store.size, evicted)

    def adopt(self, former: Stream) -> bool:
        """Go on from what the stream of another model remembers; False, and nothing done, where that does not fit.

        It fits if both models read the same features alike, over windows of the same length. The rows stay as they are;
        each threshold takes the place among this model's errors that it had among the other's.
        """
        series, other = self._fitted.series, former._fitted.series
        if series is None or other is None or self._store is None or former._store is None:
            return False
        if not self._fitted.schema.reads_like(former._fitted.schema) or series.parts.layout != other.parts.layout:
            return False

        def convert(keys: Sequence[Key], values: Values) -> Values:
            before, now = (of.usual[of.numbers[of.places_of(keys)]] for of in (other, series))
            values["alarms"] = series.parts.alarms.carried(values["alarms"], before, now)
            return values

        self._store.adopt(former._store, convert)
        return True

    def snapshot(self) -> bytes:
        """Everything that is remembered, for `restore`."""
        return b"" if self._store is None else self._store.of(None).snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot. Raises DataError if it is not one of such a detector."""
        if self._store is not None:
            self._store.of(None).restore(snapshot)
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


def alone(fitted: Fitted, matrix: Matrix, wanted: Wanted) -> Detection:
    """Judge (n, d) rows one at a time."""
    frame, threshold, explain = fitted.alone(matrix), fitted.threshold.value, wanted.explain
    found = fitted.judged(frame, threshold, latent=wanted.latent, reconstruction=wanted.reconstruction)
    score = found.error / threshold
    anomaly = score > 1.0
    explained = None if explain is False else np.flatnonzero(anomaly if explain is True else _asked(explain, anomaly))
    none = np.zeros(len(matrix), np.uint8)
    return Detection(
        error=found.error,
        score=score,
        p_value=fitted.threshold.p_value(found.error),
        anomaly=anomaly,
        threshold=np.full(len(matrix), threshold),
        status=none,
        level=none,
        moved=np.zeros(len(matrix), np.int64),
        phase=none,
        latent=found.latent,
        reconstruction=found.rebuilt,
        explained=explained,
        attribution=None if explained is None else fitted.explained(frame.at(explained), matrix[explained]),
    )


def follow(
    fitted: Fitted,
    series: Series,
    taken: Taken,
    matrix: Matrix,
    keys: Sequence[Key],
    times: Vector | None,
    wanted: Wanted,
) -> Detection:
    """Judge (n, d) rows with what was taken of their entities, and bring that up to date."""
    values, owner, explain = taken.values, taken.owner, wanted.explain
    known = series.places_of([keys[row] for row in taken.first.tolist()])
    numbers = series.numbers[known]
    series.begin(values, numbers)
    steps = series.parts.past.follow(values["past"], series.longest[known], owner, matrix, times)
    frame, observed = fitted.among(steps, numbers[owner], times)
    threshold = series.thresholds[numbers[owner]]
    found = fitted.judged(frame, threshold, latent=wanted.latent, reconstruction=wanted.reconstruction)

    scored = steps.order[steps.status[steps.order] == Status.SCORED]
    alarms = series.parts.alarms.step(
        values["alarms"], series.usual[numbers], owner[scored], logs_of(found.error[scored])
    )
    if fitted.options.adaptation != "off":
        threshold[scored] = np.exp(alarms.threshold)
    score = found.error / threshold
    anomaly = np.zeros(len(matrix), bool)
    anomaly[scored] = score[scored] > 1.0
    level, moved = np.zeros(len(matrix), np.uint8), np.zeros(len(matrix), np.int64)
    level[scored], moved[scored] = alarms.level, alarms.since
    flagged = steps.order[anomaly[steps.order]]
    explained = np.sort(flagged)
    if not isinstance(explain, bool):
        explained = np.union1d(flagged, np.flatnonzero(_asked(explain, anomaly)))
    attribution = fitted.explained(frame.at(explained), observed[explained])
    squares = np.square(attribution.deviation[np.searchsorted(explained, flagged)])
    told = series.parts.episodes.step(
        values["episodes"],
        owner[steps.order],
        steps.fresh[steps.order],
        steps.when[steps.order],
        score[steps.order],
        anomaly[steps.order],
        squares,
    )
    phase, episodes = _in_order(told, steps.order, len(matrix))
    return Detection(
        error=found.error,
        score=score,
        p_value=fitted.threshold.p_value(score * fitted.threshold.value),
        anomaly=anomaly,
        threshold=threshold,
        status=steps.status,
        level=level,
        moved=moved,
        phase=phase,
        episodes=episodes,
        latent=found.latent,
        reconstruction=found.rebuilt,
        explained=explained if explain is not False else None,
        attribution=attribution if explain is not False else None,
    )


def _asked(explain: Any, anomaly: Flags) -> Flags:
    """Which records are to be explained, (n,). Raises DataError when that is not said of each of them."""
    asked = np.asarray(explain)
    if asked.dtype != np.bool_ or asked.shape != anomaly.shape:
        raise DataError(f"`explain` is neither a bool nor (n,) of these: give one for each of the {len(anomaly)} rows")
    return asked


def _in_order(told: Told, order: Places, count: int) -> tuple[Codes, Episodes]:
    """What was told of the rows at `order` (m,), for all rows of the batch, (count,)."""
    rows = order[told.told]
    in_order = np.argsort(rows)
    phase, number = np.zeros(count, np.uint8), np.zeros(count, np.int64)
    since, worst = np.zeros(count), np.zeros(count)
    phase[order], number[order], since[order], worst[order] = told.phase, told.number, told.since, told.worst
    return phase, Episodes(number, since, worst, rows[in_order], shares(told.deviations)[in_order])
