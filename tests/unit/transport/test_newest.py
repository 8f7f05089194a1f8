"""The newest records of all partitions: which offsets they are, by times that may be in any unit or none."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from aestream.transport.clocks import DAY_MS
from aestream.transport.newest import TAIL, Offsets, Past, step_back
from aestream.types import Partition, Stamps

NOW = 1_795_000_000_000
P = [Partition("t", p) for p in range(4)]


def past(*stamps: Sequence[int] | Stamps, period: float | None = None, asked: list[Offsets] | None = None) -> Past:
    held = {P[p]: np.array(some, np.int64) for p, some in enumerate(stamps)}

    def find(wanted: Offsets) -> Mapping[Partition, int | None]:
        if asked is not None:
            asked.append(wanted)
        found = {part: np.flatnonzero(held[part] >= stamp) for part, stamp in wanted.items()}
        return {part: int(places[0]) if len(places) else None for part, places in found.items()}

    ends = {part: len(some) for part, some in held.items()}
    tails = {part: some[-TAIL:].tolist() for part, some in held.items()}
    return Past.of(dict.fromkeys(held, 0), ends, tails, find, now=NOW, period=period)


def taken(found: Past, count: int) -> list[int]:
    """How many offsets of each partition are among the newest."""
    return [found.ends[part] - start for part, start in sorted(found.newest(count).items())]


@pytest.mark.parametrize("seed", range(5))
def test_the_newest_of_all_partitions_are_found_with_few_questions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spans = ((5000, 30), (300, 1), (20_000, 3), (0, 1))  # records, days
    stamps = [np.sort(NOW - rng.integers(1, days * DAY_MS, count)) for count, days in spans]
    asked: list[Offsets] = []
    found = past(*stamps, asked=asked)
    for count in (1, 10, 777, 20_000):
        asked.clear()
        cut = np.sort(np.concatenate(stamps))[-count]
        expected = [int((some >= cut).sum()) for some in stamps]
        assert sum(taken(found, count)) == count
        assert taken(found, count) == pytest.approx(expected, abs=count / 100 + 1)
        assert len(asked) < 100
    assert taken(found, 10**6) == [5000, 300, 20_000, 0]
    assert taken(found, 0) == [0, 0, 0, 0]


def test_each_partition_may_have_its_own_unit() -> None:
    ages = range(100_000, 0, -1000)  # milliseconds
    millis = [NOW - age for age in ages]
    found = past(millis, [m // 1000 for m in millis], [m * 1000 for m in millis], [m * 1_000_000 for m in millis])
    assert taken(found, 40) == [10, 10, 10, 10]
    assert taken(past(millis, [m // 1000 for m in millis], period=20.0), 1000) == [20, 20]


@pytest.mark.parametrize("stamp", [0, -1, 3_600_000, NOW + 30 * DAY_MS, (NOW + 30 * DAY_MS) * 1000])
def test_a_partition_without_times_gives_its_share_by_offset(stamp: int) -> None:
    times = [NOW - 1000 * (300 - i) for i in range(300)]
    found = past([stamp] * 100, times)
    assert set(found.clocks) == {P[1]}
    assert taken(found, 40) == [10, 30]
    assert taken(past([stamp] * 100, times, period=60.0), 1000) == [100, 60]
    assert taken(past([stamp] * 100, [stamp] * 300), 40) == [10, 30]


def test_one_record_of_the_far_future_hides_no_partition() -> None:
    times = [NOW - 1000 * (300 - i) for i in range(300)]
    for stray in (NOW + 400 * DAY_MS, NOW * 1000):
        found = past([*times[:5], stray, *times[6:]], times)
        assert taken(found, 100) == [50, 50]


def test_a_clock_that_is_hours_ahead_is_a_clock() -> None:
    times = [NOW - 1000 * (300 - i) for i in range(300)]
    found = past([stamp + 7_200_000 for stamp in times], times)
    assert set(found.clocks) == {P[0], P[1]}
    assert taken(found, 300) == [300, 0]


def test_late_records_are_read_with_those_around_them() -> None:
    rng = random.Random(0)
    times = [NOW - 1000 * (300 - i) - (rng.randrange(10**6) if i % 10 == 0 else 0) for i in range(300)]
    assert taken(past(times, period=100.0), 1000) == pytest.approx([100], abs=2)


def test_stepping_back_takes_what_was_asked_in_equal_shares() -> None:
    older, newer = {P[0]: 0, P[1]: 5, P[2]: 7}, {P[0]: 10, P[1]: 10, P[2]: 7}
    for count in range(16):
        starts = step_back(older, newer, count)
        assert sum(newer[part] - start for part, start in starts.items()) == count
        assert all(older[part] <= start <= newer[part] for part, start in starts.items())
    assert step_back(older, newer, 9) == {P[0]: 4, P[1]: 7, P[2]: 7}
