"""Timestamps of broken producers: seconds, microseconds, zero, the future."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from aestream.transport.clocks import DAY_MS, NAMES, milliseconds, ticks

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("stamps", "name"),
    [
        ([NOW, NOW - 1], "milliseconds"),
        ([NOW // 1000] * 3 + [0], "seconds"),
        ([NOW * 1000], "microseconds"),
        ([NOW * 1_000_000], "nanoseconds"),
        ([10**11], "milliseconds"),
        ([], "milliseconds"),
    ],
)
def test_the_unit_is_that_of_most(stamps: list[int], name: str) -> None:
    found = ticks(stamps)
    assert found is not None
    assert NAMES[found] == name


@pytest.mark.parametrize("stamps", [[0, 0, NOW], [-1], [86_400_000]])
def test_what_is_too_small_tells_no_time(stamps: list[int]) -> None:
    assert ticks(stamps) is None


def test_each_timestamp_is_converted_by_its_size() -> None:
    stamps = np.array([NOW, NOW // 1000, NOW * 1000, NOW * 1_000_000, 0, -1, 5000, NOW + 2 * DAY_MS, NOW + 1000])
    found, are_times = milliseconds(stamps, now=NOW)
    assert found[:4].tolist() == [NOW] * 4
    assert are_times.tolist() == [True] * 4 + [False] * 4 + [True]
    assert found.dtype == np.int64
    assert milliseconds(stamps[:0], now=NOW)[0].shape == (0,)


def test_units_are_told_in_words() -> None:
    assert NAMES[Fraction(1, 1000)] == "seconds"
