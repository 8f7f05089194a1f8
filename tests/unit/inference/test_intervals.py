from typing import Any

import numpy as np
import pytest

from aestream.inference.intervals import Intervals
from aestream.inference.order import Order

RANDOM = np.random.default_rng(0)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def learnt(times: Any, entities: Any = None, max_gap: float | None = None) -> Intervals:
    whose = None if entities is None else np.asarray(entities)
    found = Intervals.of(Order.of(whose, np.asarray(times, float)), max_gap)
    assert found is not None
    return found


def test_a_gap_is_ten_usual_intervals() -> None:
    assert learnt(np.arange(1000) * MINUTE) == Intervals(MINUTE, 10 * MINUTE)
    assert learnt(np.arange(1000) * MINUTE, max_gap=30) == Intervals(MINUTE, 30 * MINUTE)


def test_jitter_and_retries_change_nothing() -> None:
    times = np.arange(1000) * MINUTE + RANDOM.uniform(-5, 5, 1000)
    again = np.sort(np.concatenate([times, times[::10], times[::5] + 0.2]))
    found = learnt(again)
    assert found.usual == pytest.approx(MINUTE, rel=0.1)
    assert found.longest == pytest.approx(10 * MINUTE, rel=0.1)


def test_a_night_is_a_gap_and_a_pause_every_hour_is_none() -> None:
    minutes = np.arange(14 * 1440)
    assert learnt(minutes[minutes % 1440 < 960] * MINUTE) == Intervals(MINUTE, 10 * MINUTE)
    assert learnt(minutes[minutes % 60 < 40] * MINUTE).longest > 20 * MINUTE


def test_what_works_eight_records_a_day_has_no_gap_at_night() -> None:
    hours = np.arange(30 * 24)
    assert learnt(hours[hours % 24 < 8] * HOUR).longest > 17 * HOUR


def test_events_at_random_times_have_hardly_a_gap() -> None:
    times = np.cumsum(RANDOM.exponential(MINUTE, 20_000))
    assert np.mean(np.diff(times) > learnt(times).longest) < 1e-3


def test_the_slowest_entity_decides() -> None:
    fast, slow = np.arange(6000) * 10.0, np.arange(16) * HOUR
    entity = np.repeat([0, 1], [len(fast), len(slow)])
    assert learnt(np.append(fast, slow), entity) == Intervals(HOUR, 10 * HOUR)
    twice = np.repeat([0, 1], [len(fast), 2])
    assert learnt(np.append(fast, [0, DAY]), twice).usual == 10  # of one interval, nobody knows


def test_entities_do_not_follow_each_other() -> None:
    entity = np.tile(np.arange(5), 200)
    assert learnt(np.arange(1000) * 12.0, entity) == Intervals(MINUTE, 10 * MINUTE)


def test_without_times_there_are_no_intervals() -> None:
    assert Intervals.of(Order()) is None
    assert Intervals.of(Order.of(np.arange(10), np.arange(10.0))) is None  # each entity once
    assert Intervals.of(Order.of(None, np.full(10, 7.0))) is None
