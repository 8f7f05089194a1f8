"""The rules, one by one, on a single entity."""

import numpy as np
import pytest

from aestream.state.past import Past, Steps
from aestream.types import Status

SCORED, WARMING, LATE = Status.SCORED, Status.WARMING, Status.LATE


def steps(past: Past, readings: list[float], times: list[float] | None, longest: float = np.inf) -> Steps:
    """One entity's readings in one column; a longer interval than `longest` is a gap."""
    matrix = np.array(readings, dtype=np.float64)[:, None]
    stamps = None if times is None else np.array(times, dtype=np.float64)
    return past.follow(
        np.full(1, past.blank), np.array([longest]), np.zeros(len(matrix), dtype=np.intp), matrix, stamps
    )


def rates(readings: list[float], times: list[float] | None) -> list[float]:
    found = steps(Past(1, 1, np.array([0])), readings, times)
    rows: list[float] = found.rows[found.windows[:, -1], 0].tolist()
    return rows


def same(found: list[float], expected: list[float]) -> bool:
    return np.array_equal(found, expected, equal_nan=True)


def windows(found: Steps) -> list[list[float]]:
    rows: list[list[float]] = found.rows[found.windows][:, :, 0].tolist()
    return rows


def test_a_window_ends_with_its_row_and_begins_with_the_first() -> None:
    found = steps(Past(1, 3, np.array([], dtype=np.intp)), [1, 2, 3, 4], None)
    assert windows(found) == [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert found.status.tolist() == [WARMING, WARMING, SCORED, SCORED]
    assert found.fresh.tolist() == [True, False, False, False]


def test_a_late_row_sees_the_rows_before_it_and_no_row_sees_it() -> None:
    past = Past(1, 2, np.array([], dtype=np.intp))
    found = steps(past, [1, 2, 3, 4], [10, 20, 19.999, 20])
    assert windows(found) == [[1, 1], [1, 2], [2, 3], [2, 4]]
    assert found.status.tolist() == [WARMING, SCORED, LATE, SCORED]
    assert found.order.tolist() == [0, 1, 3]


def test_a_row_without_a_time_follows_the_row_before_it() -> None:
    past = Past(1, 2, np.array([], dtype=np.intp))
    found = steps(past, [1, 2, 3, 4], [10, np.nan, np.inf, 20], longest=15.0)
    assert windows(found) == [[1, 1], [1, 2], [2, 3], [3, 4]]
    assert found.fresh.tolist() == [True, False, False, False]


def test_a_run_begins_anew_after_a_gap_and_not_before() -> None:
    past = Past(1, 2, np.array([], dtype=np.intp))
    found = steps(past, [1, 2, 3, 4], [0, 10, 20.001, 21], longest=10.0)
    assert windows(found) == [[1, 1], [1, 2], [3, 3], [3, 4]]
    assert found.status.tolist() == [WARMING, SCORED, WARMING, SCORED]
    assert found.fresh.tolist() == [True, False, True, False]


def test_how_long_a_gap_is_depends_on_the_entity() -> None:
    past = Past(1, 2, np.array([], dtype=np.intp))
    times = np.repeat([0.0, 10.0, 500.0, 510.0], 2)
    owner = np.tile([0, 1], 4)
    found = past.follow(np.full(2, past.blank), np.array([100.0, 3600.0]), owner, np.zeros((8, 1)), times)
    assert found.status[owner == 0].tolist() == [WARMING, SCORED, WARMING, SCORED]
    assert found.status[owner == 1].tolist() == [WARMING, SCORED, SCORED, SCORED]
    assert np.flatnonzero(found.fresh).tolist() == [0, 1, 4]


def test_a_counter_is_its_increase_per_second() -> None:
    assert same(rates([100, 110, 140], [0, 10, 20]), [np.nan, 1, 3])
    assert same(rates([100, 110, 140], None), [np.nan, 10, 30])


def test_equal_times_count_from_the_time_before_them() -> None:
    assert same(rates([100, 110, 120, 130], [0, 10, 10, 20]), [np.nan, 1, 2, 1])


def test_a_counter_that_was_not_reported_counts_from_its_last_reading() -> None:
    assert same(rates([100, np.nan, 140], [0, 10, 20]), [np.nan, np.nan, 2])


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([100, 110, 0, 10], [np.nan, 1, 1, 1]),  # a restart: what it counted before is not known
        ([100, 110, 50, 60], [np.nan, 1, 5, 1]),  # it has counted 50 since
        ([100, 110, 2, 1, 11], [np.nan, 1, 1, 1, 1]),  # again and again
        ([100, 0, 10], [np.nan, 0, 1]),  # no rate is known yet
    ],
)
def test_a_reset_is_neither_a_fall_nor_a_dip(readings: list[float], expected: list[float]) -> None:
    assert same(rates(readings, [10.0 * number for number in range(len(readings))]), expected)


def test_no_rate_is_infinite() -> None:
    assert np.isfinite(rates([-1e308, 1e308, 0, 1e308], [0, 1e-3, 2e-3, 3e-3])[1:]).all()


def test_a_late_reading_resets_nothing() -> None:
    assert same(rates([100, 110, 105, 120], [0, 10, 5, 20]), [np.nan, 1, 1, 1])
    assert same(rates([100, 110, 95, 120], [0, 10, -5, 20]), [np.nan, 1, np.nan, 1])


def test_rows_from_before_time_passed_are_seen_with_the_first_rates() -> None:
    past = Past(1, 3, np.array([0]))
    found = steps(past, [90, 100, 110, 140], [0, 0, 10, 20])
    assert np.isnan(windows(found)[:2]).all()
    assert windows(found)[2:] == [[1, 1, 1], [1, 1, 3]]
    assert found.status.tolist() == [WARMING, WARMING, SCORED, SCORED]


def test_hosts_of_one_exporter_stay_calm_through_its_restart() -> None:
    rng = np.random.default_rng(0)
    hosts, scrapes = 3, 60
    speeds = np.array([[10.0, 2000.0], [3.0, 1.0], [500.0, 70.0]])
    readings = (speeds * rng.uniform(0.9, 1.1, size=(scrapes, hosts, 2)) * 15).cumsum(axis=0)
    readings[40:] -= readings[39]  # silent from the 30th scrape to the 40th, and then it counts from 0
    kept = np.r_[0:30, 40:scrapes]
    owner = np.tile(np.arange(hosts), len(kept))
    times = np.repeat(1.7e9 + 15.0 * kept, hosts)
    past = Past(2, 1, np.array([0, 1]))
    found = past.follow(np.full(hosts, past.blank), np.full(hosts, 60.0), owner, readings[kept].reshape(-1, 2), times)
    seen = found.rows[found.windows[:, -1]] / speeds[owner]
    assert np.isnan(seen[:hosts]).all()
    assert seen[hosts:].min() > 0.89
    assert seen[hosts:].max() < 1.11
