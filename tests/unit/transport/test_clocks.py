"""Timestamps of broken producers: seconds, microseconds, zero, the future."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from aestream.transport.clocks import DAY_MS, milliseconds, name, ticks

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("stamps", "unit"),
    [
        ([NOW, NOW - 1], "milliseconds"),
        ([NOW // 1000] * 3 + [0], "seconds"),
        ([NOW * 1000], "microseconds"),
        ([NOW * 1_000_000], "nanoseconds"),
        ([10**11], "milliseconds"),
        ([], "milliseconds"),
    ],
)
def test_the_unit_is_that_of_most(stamps: list[int], unit: str) -> None:
    assert name(stamps) == unit
    assert ticks(stamps) == {"seconds": Fraction(1, 1000), "milliseconds": 1, "microseconds": 1000}.get(unit, 10**6)


@pytest.mark.parametrize("stamps", [[0, 0, NOW], [-1], [86_400_000]])
def test_what_is_too_small_tells_no_time(stamps: list[int]) -> None:
    assert ticks(stamps) is None
    assert name(stamps) is None


def test_each_timestamp_is_converted_by_its_size() -> None:
    stamps = np.array([NOW, NOW // 1000, NOW * 1000, NOW * 1_000_000, 0, -1, 5000, NOW + 2 * DAY_MS, NOW + 1000])
    found, are_times = milliseconds(stamps, now=NOW)
    assert found[:4].tolist() == [NOW] * 4
    assert are_times.tolist() == [True] * 4 + [False] * 4 + [True]
    assert found.dtype == np.int64
    assert milliseconds(stamps[:0], now=NOW)[0].shape == (0,)
