from typing import Any

import numpy as np
import pytest

from aestream.errors import ConfigurationError
from aestream.features.clock import DAY, Clock
from aestream.inference.rhythm import choose_clock
from aestream.types import Matrix, Vector

HOUR, FEATURES = 3600.0, 6


def times(days: float, every: float = 600.0) -> Vector:
    return 1_767_571_200 + np.arange(0, days * DAY, every)  # from Monday, 2026-01-05


def noise(count: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(count, FEATURES))


def by_day(seconds: Vector) -> Matrix:
    return np.sin(2 * np.pi * (seconds / DAY)[:, None] + np.arange(FEATURES))


def chosen(matrix: Matrix, seconds: Any, entity: Any = None, **options: Any) -> Clock:
    whose = np.zeros(len(matrix), np.intp) if entity is None else entity
    return choose_clock(matrix, whose, seconds, **options).clock


def test_a_day_that_shows_is_used_once_it_is_covered_twice() -> None:
    for days, used in ((1.9, False), (2.1, True), (20.0, True)):
        at = times(days)
        matrix = by_day(at) + 0.5 * noise(len(at))
        assert chosen(matrix, at) == Clock(day=used)
        assert chosen(matrix, at, choice="off") == Clock()


def test_the_week_is_used_where_weekends_differ() -> None:
    at = times(21)
    weekend = ((at // DAY + 3) % 7 >= 5)[:, None] * np.arange(1, FEATURES + 1) * 4
    assert chosen(by_day(at) + weekend + noise(len(at)), at) == Clock(day=True, week=True)
    assert chosen(by_day(at) + 0.5 * noise(len(at)), at) == Clock(day=True)
    short = at[at < at[0] + 10 * DAY]
    assert not chosen(by_day(short) + 0.1 * noise(len(short)), short).week


def test_just_below_two_days_is_not_called_two() -> None:
    at = times(2.0)
    why = choose_clock(noise(len(at)), np.zeros(len(at), np.intp), at).why
    assert why == "the sample covers 1.99 days: a cycle is learnt from 2"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("days", [2.2, 15.0])
def test_noise_and_levels_that_wander_have_no_clock(days: float, seed: int) -> None:
    at = times(days)
    for matrix in (noise(len(at), seed), np.cumsum(noise(len(at), seed), axis=0)):
        assert chosen(matrix, at) == Clock()


def test_a_clock_that_is_asked_for_is_on_where_it_is_covered() -> None:
    at = times(15)
    assert chosen(noise(len(at)), at, choice="on") == Clock(day=True, week=True)
    assert chosen(noise(len(at))[:1000], at[:1000], choice="on") == Clock(day=True)
    assert chosen(noise(50), at[:50], choice="on") == Clock()


def test_levels_of_entities_do_not_count_and_gaps_do_no_harm() -> None:
    at = np.repeat(times(5), 3)
    entity = np.tile(np.arange(3), len(at) // 3)
    levels = 100.0 * entity[:, None]
    matrix = by_day(at) + levels + 0.5 * noise(len(at))
    matrix[::7, 2], matrix[:, 3] = np.nan, 5.0
    assert chosen(matrix, at, entity) == Clock(day=True)
    assert chosen(noise(len(at)) + levels, at, entity) == Clock()
    assert chosen(matrix, np.where(np.arange(len(at)) % 500 == 0, np.nan, at), entity) == Clock(day=True)


def test_it_says_why() -> None:
    at = times(5)
    matrix = by_day(at) + 0.5 * noise(len(at))
    entity = np.zeros(len(at), np.intp)
    assert choose_clock(matrix, entity, at).why.startswith("the time of day explains ")
    assert choose_clock(noise(len(at)), entity, at).why.endswith("of the variance: too little")
    assert (
        choose_clock(matrix[:50], entity[:50], at[:50]).why == "the sample covers 0.34 days: a cycle is learnt from 2"
    )
    assert choose_clock(matrix, entity, None).why == "the times of the records are unknown"
    unknown = np.full(len(at), np.nan)
    assert choose_clock(matrix, entity, unknown).why == "the times of the records are unknown"


def test_holidays_are_used_if_the_sample_holds_some() -> None:
    pytest.importorskip("holidays")
    at = times(120, HOUR)  # until the beginning of May: Good Friday, Easter Monday, Labour Day
    assert chosen(noise(len(at)), at, holidays="DE") == Clock(holidays="DE")
    assert chosen(noise(len(at)), at, holidays="DE", choice="on") == Clock(True, True, "DE")
    assert chosen(noise(600), at[:600], holidays="DE") == Clock()
    with pytest.raises(ConfigurationError):
        chosen(noise(len(at)), at, holidays="XX")
