from typing import Any

import numpy as np
import pytest

from aestream.inference.intervals import MIN_INTERVALS, longest_intervals
from aestream.inference.order import Order

RANDOM = np.random.default_rng(0)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def learnt(times: Any, entities: Any = None, max_gap: float | None = None) -> list[float]:
    """The longest interval that is no gap: in general, then of each entity."""
    whose = None if entities is None else np.asarray(entities)
    found: list[float] = longest_intervals(Order.of(whose, np.asarray(times, float)), max_gap).tolist()
    return found


def one(times: Any) -> float:
    general, own = learnt(times)
    assert general == own
    return own


def test_a_gap_is_ten_usual_intervals() -> None:
    assert learnt(np.arange(1000) * MINUTE) == [10 * MINUTE] * 2
    assert learnt(np.arange(1000) * MINUTE, max_gap=30) == [30 * MINUTE] * 2


def test_jitter_and_retries_change_nothing() -> None:
    times = np.arange(1000) * MINUTE + RANDOM.uniform(-5, 5, 1000)
    again = np.sort(np.concatenate([times, times[::10], times[::5] + 0.2]))
    assert one(again) == pytest.approx(10 * MINUTE, rel=0.1)


def test_a_night_is_a_gap_and_a_pause_every_hour_is_none() -> None:
    minutes = np.arange(14 * 1440)
    assert one(minutes[minutes % 1440 < 960] * MINUTE) == 10 * MINUTE
    assert one(minutes[minutes % 60 < 40] * MINUTE) > 20 * MINUTE


def test_what_works_eight_records_a_day_has_no_gap_at_night() -> None:
    hours = np.arange(30 * 24)
    assert one(hours[hours % 24 < 8] * HOUR) > 17 * HOUR


def test_events_at_random_times_have_hardly_a_gap() -> None:
    times = np.cumsum(RANDOM.exponential(MINUTE, 20_000))
    assert np.mean(np.diff(times) > one(times)) < 1e-3


def test_each_entity_has_its_own_and_the_slowest_decides_for_others() -> None:
    fast, slow = np.arange(6000) * 10.0, np.arange(16) * HOUR
    for break_of in (0.0, 9 * HOUR):  # an outage in the middle changes nothing
        fast[3000:] += break_of
        entity = np.repeat([0, 1], [len(fast), len(slow)])
        assert learnt(np.append(fast, slow), entity) == [10 * HOUR, 100, 10 * HOUR]
        assert learnt(np.append(fast, slow), entity, max_gap=3) == [3 * HOUR, 30, 3 * HOUR]
    twice = np.repeat([0, 1], [len(fast), 2])
    assert learnt(np.append(fast, [0, DAY]), twice) == [100, 100, 100]  # of one interval, nobody knows


def test_an_entity_with_few_intervals_has_the_general_one() -> None:
    for intervals, own in ((MIN_INTERVALS - 1, 10 * HOUR), (MIN_INTERVALS, 10 * MINUTE)):
        entity = np.repeat([0, 1], [100, intervals + 1])
        times = np.append(np.arange(100) * HOUR, np.arange(intervals + 1) * MINUTE)
        assert learnt(times, entity) == [10 * HOUR, 10 * HOUR, own]
    assert learnt(np.append(np.arange(3), 10 * np.arange(4)), [0] * 3 + [1] * 4) == [100] * 3  # the most there are


def test_bursts_with_pauses_have_the_general_one_unless_a_gap_was_asked_for() -> None:
    bursts = (MINUTE * np.arange(200)[:, None] + np.arange(5.0)).ravel()  # five records a second apart, every minute
    steady = np.arange(100_000) * 10.0
    entity = np.repeat([0, 1], [len(steady), len(bursts)])
    times = np.append(steady, bursts)
    assert learnt(times, entity) == [100, 100, 100]
    assert learnt(times, entity, max_gap=20) == [200, 200, 20]


def test_entities_do_not_follow_each_other() -> None:
    assert learnt(np.arange(1000) * 12.0, np.tile(np.arange(5), 200)) == [10 * MINUTE] * 6


def test_without_times_there_are_no_gaps() -> None:
    assert longest_intervals(Order()).tolist() == [np.inf] * 2
    assert longest_intervals(Order.of(np.arange(10))).tolist() == [np.inf] * 11
    assert learnt(np.arange(10.0), np.arange(10)) == [np.inf] * 11  # each entity once
    assert learnt(np.full(10, 7.0)) == [np.inf] * 2
