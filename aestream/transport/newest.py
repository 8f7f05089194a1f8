"""Which offsets hold the newest records of several partitions together, by the times of the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from aestream.transport.clocks import DAY_MS, ticks
from aestream.types import Partition

Offsets = Mapping[Partition, int]
# The first offset in each partition whose timestamp is at least this; None if there is none.
Find = Callable[[Offsets], Mapping[Partition, int | None]]

TAIL = 20  # how many of a partition's last timestamps tell their unit


@dataclass(frozen=True, slots=True)
class Past:
    """The offsets from `begins` to `ends` in each partition.

    `clocks` says how many ticks of a partition's timestamps make a millisecond; a partition whose timestamps tell no
    time is not in it.
    """

    begins: Offsets
    ends: Offsets
    clocks: Mapping[Partition, Fraction]
    find: Find
    now: int

    @classmethod
    def of(
        cls,
        begins: Offsets,
        ends: Offsets,
        tails: Mapping[Partition, Sequence[int]],
        find: Find,
        *,
        now: int,
        period: float | None,
    ) -> Self:
        """Learn from `tails`, the last timestamps in each partition, what they count.

        Nothing older than `period` seconds before `now` (milliseconds) belongs to the past, where timestamps are times.
        """
        clocks = {part: clock for part, stamps in tails.items() if (clock := ticks(stamps)) is not None}
        whole = cls(begins, ends, clocks, find, now)
        # One timestamp far in the future hides all that follow it: its partition cannot be searched by time.
        ahead = whole.since(now + DAY_MS, clocks)
        clocks = {part: clock for part, clock in clocks.items() if ahead[part] == ends[part]}
        if period is not None:
            begins = {**begins, **whole.since(max(now - int(period * 1000), 0), clocks)}
        return cls(begins, ends, clocks, find, now)

    def since(self, time: int, parts: Iterable[Partition]) -> dict[Partition, int]:
        """Where in each partition the first record is whose time is at least `time`, in milliseconds."""
        wanted = {part: math.ceil(time * self.clocks[part]) for part in parts}
        found = self.find(wanted) if wanted else {}
        return {
            part: self.ends[part] if offset is None else min(max(offset, self.begins[part]), self.ends[part])
            for part, offset in ((part, found.get(part)) for part in wanted)
        }

    def count(self, starts: Offsets) -> int:
        """How many offsets lie between `starts` and the ends."""
        return sum(self.ends[part] - start for part, start in starts.items())

    def newest(self, count: int) -> Offsets:
        """Where the newest `count` offsets of all partitions begin.

        Where timestamps tell no time, a partition gives the same share of its offsets as all partitions together.
        """
        if count >= (held := self.count(self.begins)):
            return self.begins
        timeless = {part: begin for part, begin in self.begins.items() if part not in self.clocks}
        starts = step_back(timeless, self.ends, self.count(timeless) * count // max(held, 1))
        return {**starts, **self._by_time(count - self.count(starts))}

    def _by_time(self, count: int) -> Offsets:
        """Bisect the time at which the newest `count` offsets of the partitions with a clock begin."""
        older: Offsets = {part: self.begins[part] for part in self.clocks}
        newer: Offsets = {part: self.ends[part] for part in self.clocks}
        if count >= self.count(older):
            return older
        low, high = 0, self.now + DAY_MS
        while high - low > 1 and self.count(older) - self.count(newer) > count // 100:
            middle = (low + high) // 2
            found = self.since(middle, self.clocks)
            if self.count(found) > count:
                low, older = middle, found
            else:
                high, newer = middle, found
        return step_back(older, newer, count - self.count(newer))


def step_back(older: Offsets, newer: Offsets, count: int) -> dict[Partition, int]:
    """Go back from `newer` towards `older` by `count` offsets in all, by the same share in each partition."""
    total = sum(newer[part] - start for part, start in older.items())
    starts, passed, taken = {}, 0, 0
    for part, start in older.items():
        passed += newer[part] - start
        due = passed * count // max(total, 1) - taken
        starts[part], taken = newer[part] - due, taken + due
    return starts
