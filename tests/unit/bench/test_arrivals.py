"""Rates of arrival from timestamps in any unit, and from the ends of partitions."""

from __future__ import annotations

import pytest

from aestream.bench.arrivals import Arrival, Of, by_ends, by_timestamps
from aestream.types import Partition

NOW = 1_790_000_000_000
START = 1_789_999_980_000  # the beginning of a minute


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
def test_the_mean_and_the_busiest_minute(unit: int) -> None:
    calm = range(START - 600_000, START, 1000)
    busy = range(START, START + 12_000, 100)
    stamps = [stamp * unit for stamp in (*calm, *busy)]
    mean, peak = by_timestamps(stamps, now=NOW)
    assert (mean.of, peak.of, peak.at) == (Of.SAMPLE, Of.PEAK_MINUTE, START)
    assert mean.rate == pytest.approx(720 / 611.9, rel=0.01)
    assert peak.rate == 2.0


def test_less_than_a_minute_has_no_busiest_one() -> None:
    (mean,) = by_timestamps(range(START, START + 10_000, 10), now=NOW)
    assert mean.rate == pytest.approx(100)


@pytest.mark.parametrize("stamps", [[], [START], [START] * 9, [0] * 9, [-1, 5, 9], [NOW + 10**9, NOW + 2 * 10**9]])
def test_timestamps_that_tell_no_rate(stamps: list[int]) -> None:
    assert list(by_timestamps(stamps, now=NOW)) == []


def test_ends_that_move() -> None:
    one, two, gone = Partition("t", 0), Partition("t", 1), Partition("t", 2)
    before = {one: (0, 100), two: (5, 50), gone: (0, 7)}
    after = {one: (90, 400), two: (0, 40)}  # the second topic was created again
    assert by_ends(before, after, 10.0) == Arrival(Of.NOW, 30.0)
