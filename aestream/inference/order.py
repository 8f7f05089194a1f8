"""The order in which a sample's records are compared: entity by entity, each in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.types import Places, Vector

# Times that this share of the records lacks, or that never move, give no order.
MAX_UNTIMED = 0.01
# What a series is cut into to see where it goes.
BLOCKS = 10


def filled(times: Vector, otherwise: float) -> Vector:
    """Times (n,) with that of the row before in place of an unknown one; `otherwise` where none is known yet."""
    known = np.isfinite(times)
    before = np.maximum.accumulate(np.where(known, np.arange(len(times)), 0))
    whole: Vector = np.where(known[before], times[before], otherwise)
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """How the n records of a sample follow each other. Without arguments: one series, in the order of arrival.

    `rows` (n,) sorts the records by entity, then time, then arrival, and `in_time` (n,) by time, then arrival; `entity`
    and `time` (n,) are in the order of `rows`. None where there is nothing to sort, or nothing known.
    """

    rows: Places | None = None
    in_time: Places | None = None
    entity: Places | None = None
    time: Vector | None = None

    @classmethod
    def of(cls, entities: Places | None = None, times: Vector | None = None) -> Self:
        """Sort by whole-number codes of entities (n,) and times (n,) in seconds, as far as they are known.

        Times that are mostly NaN, or all the same, count as unknown.
        """
        if times is not None:
            known = np.isfinite(times)
            if not known.any() or known.mean() < 1 - MAX_UNTIMED or np.ptp(times[known]) == 0:
                times = None
        if entities is None and times is None:
            return cls()
        in_time = None if times is None else np.argsort(times, kind="stable")
        rows = in_time
        if entities is not None:
            rows = np.arange(len(entities)) if rows is None else rows
            rows = rows[np.argsort(entities[rows], kind="stable")]
        return cls(rows, in_time, None if entities is None else entities[rows], None if times is None else times[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The values (n,) of one field that are there, entity after entity, each in the order of time.

    `starts` (k,) are the rows at which an entity begins, `lengths` (k,) how many values it has; `time` (n,) in seconds,
    None if unknown. `in_time` (n,) has the same values in the order of time, whatever the entity.
    """

    values: Vector
    starts: Places
    lengths: Places
    time: Vector | None
    in_time: Vector

    @classmethod
    def of(cls, values: Vector, order: Order) -> Self:
        """Bring values (n,) into their order, without those that are missing (NaN or infinite)."""
        rows, entity, time = order.rows, order.entity, order.time
        series = values if rows is None else values[rows]
        in_time = series if order.in_time is rows else values if order.in_time is None else values[order.in_time]
        present = np.isfinite(series)
        if not present.all():
            series, in_time = series[present], in_time[np.isfinite(in_time)]
            entity = None if entity is None else entity[present]
            time = None if time is None else time[present]
        starts = np.zeros(min(len(series), 1), np.intp)
        if entity is not None:
            starts = np.append(starts, np.flatnonzero(entity[1:] != entity[:-1]) + 1)
        return cls(series, starts, np.diff(starts, append=len(series)), time, in_time)

    def steps(self) -> Vector:
        """What each value changed since the one before (n - 1,): 0 from one entity to the next."""
        steps = np.diff(self.values)
        steps[self.starts[1:] - 1] = 0
        return steps

    def merged(self) -> Series:
        """The same with the mean of the values that an entity has at one time: their order may be chance."""
        if self.time is None:
            return self
        fresh = np.diff(self.time, prepend=np.nan) != 0
        fresh[self.starts] = True
        if fresh.all():
            return self
        begin = np.flatnonzero(fresh)
        values = np.add.reduceat(self.values, begin) / np.diff(begin, append=len(self.values))
        starts = np.searchsorted(begin, self.starts)
        return Series(values, starts, np.diff(starts, append=len(values)), self.time[begin], self.in_time)

    def means(self, size: int) -> Series:
        """The means of `size` successive values, entity by entity; fewer than half of that are left out."""
        position = np.arange(len(self.values)) - np.repeat(self.starts, self.lengths)
        begin = np.flatnonzero(position % size == 0)
        length = np.diff(begin, append=len(self.values))
        means = np.add.reduceat(self.values, begin) / length
        entity = np.searchsorted(self.starts, begin, side="right")
        full = length >= size / 2
        means, entity = means[full], entity[full]
        first = np.flatnonzero(np.diff(entity, prepend=0))
        return Series(means, first, np.diff(first, append=len(means)), None, means)

    def blocks(self) -> list[Vector]:
        """The values of the first tenth of the sample, of the second and so on, each sorted.

        Entities are brought to one centre and scale and cut into tenths each, if they have enough values for that.
        """
        if len(self.starts) == 1 or np.median(self.lengths) < 2 * BLOCKS:
            return [np.sort(block) for block in np.array_split(self.in_time, BLOCKS)]
        scaled = self.values - np.repeat(np.add.reduceat(self.values, self.starts) / self.lengths, self.lengths)
        spread = np.sqrt(np.add.reduceat(scaled**2, self.starts) / self.lengths)
        scaled /= np.repeat(np.where(spread > 0, spread, 1.0), self.lengths)
        position = np.arange(len(scaled)) - np.repeat(self.starts, self.lengths)
        tenth = (position * BLOCKS // np.repeat(self.lengths, self.lengths)).astype(np.uint8)
        return [np.sort(scaled[tenth == block]) for block in range(BLOCKS)]
