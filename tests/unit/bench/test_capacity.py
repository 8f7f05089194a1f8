"""From rates to workers and partitions."""

from __future__ import annotations

import math

import pytest

from aestream.bench.capacity import LOAD, Need, need

TAKES = 10_000.0  # records a second of a worker: 7,000 at its load


@pytest.mark.parametrize(
    ("rate", "partitions", "expected"),
    [
        (0, 3, Need(1, 1, enough=True, uneven=False)),
        (7_000, 1, Need(1, 1, enough=True, uneven=False)),
        (7_001, 1, Need(2, 2, enough=False, uneven=False)),
        (14_000, 4, Need(2, 2, enough=True, uneven=False)),
        (20_000, 3, Need(3, 3, enough=True, uneven=False)),
        (25_000, 6, Need(6, 4, enough=True, uneven=False)),  # 4 or 5 workers: one of them would have two of six
        (25_000, 8, Need(4, 4, enough=True, uneven=False)),
        (1_000_000, 6, Need(143, 143, enough=False, uneven=False)),
    ],
)
def test_evenly_spread_records(rate: float, partitions: int, expected: Need) -> None:
    assert need(rate, takes=TAKES, partitions=partitions, share=1 / partitions) == expected


def test_one_partition_may_have_more_than_a_worker_takes() -> None:
    assert need(10_000, takes=TAKES, partitions=4, share=0.8) == Need(2, 2, enough=False, uneven=True)
    assert need(10_000, takes=TAKES, partitions=4, share=0.7) == Need(2, 2, enough=True, uneven=False)


def test_a_partition_that_is_a_bit_too_full_wants_one_more() -> None:
    found = need(28_000, takes=TAKES, partitions=4, share=0.3)
    assert (found.partitions, found.enough, found.uneven) == (5, False, False)


@pytest.mark.parametrize("partitions", range(1, 40))
@pytest.mark.parametrize("rate", [1.0, 6_999.0, 33_333.3, 123_456.0])
def test_no_worker_gets_more_than_its_load(rate: float, partitions: int) -> None:
    found = need(rate, takes=TAKES, partitions=partitions, share=1 / partitions)
    there = partitions if found.enough else found.partitions
    assert found.workers <= there
    assert math.ceil(there / found.workers) / there * rate <= LOAD * TAKES * (1 + 1e-9)
