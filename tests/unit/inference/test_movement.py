import numpy as np
import pytest

from aestream.inference.movement import Motion, Move, judge
from aestream.inference.order import Order
from aestream.types import Vector
from tests.bench.movement.verdicts import CASES, verdicts, wrong

SEEDS = 20


@pytest.mark.parametrize("name", CASES)
def test_verdicts_are_seldom_wrong(name: str) -> None:
    given = verdicts(name, SEEDS)
    assert np.mean([wrong(verdict, CASES[name]) for verdict in given]) <= CASES[name].tolerated, set(given)


def rising(count: int, seed: int = 0) -> Vector:
    return np.cumsum(np.random.default_rng(seed).integers(1, 100, count)).astype(float)


@pytest.mark.parametrize("values", [[], [1.0], np.arange(29.0), np.full(500, 7.0), np.full(500, np.nan)])
def test_few_or_equal_values_prove_nothing(values: list[float]) -> None:
    assert judge(np.asarray(values, float)) == Move()


def test_thirty_values_are_enough() -> None:
    assert judge(rising(30)).motion is Motion.COUNTER


def test_values_are_not_changed() -> None:
    values, entities, times = rising(300), np.arange(300) % 3, np.arange(300.0)[::-1].copy()
    copies = [array.copy() for array in (values, entities, times)]
    judge(values, Order.of(entities, times))
    for array, copy in zip((values, entities, times), copies, strict=True):
        assert np.array_equal(array, copy)


def test_infinite_values_are_missing() -> None:
    values = rising(300)
    values[::7], values[::11] = np.inf, -np.inf
    assert judge(values).motion is Motion.COUNTER


def test_the_order_of_time_decides_not_that_of_arrival() -> None:
    values, mixed = rising(300), np.random.default_rng(1).permutation(300)
    assert judge(values[mixed]).motion is Motion.LEVEL
    assert judge(values[mixed], Order.of(times=mixed.astype(float))).motion is Motion.COUNTER


def test_a_clock_needs_no_time_of_every_record() -> None:
    random = np.random.default_rng(0)
    times = 1.7e9 + np.arange(1000.0)
    values = times - random.integers(0, 86_400 * 300, 1000)
    times[::200] = np.nan
    assert judge(values, Order.of(times=times)).motion is Motion.CLOCK


def test_times_that_say_nothing_are_as_none() -> None:
    assert Order.of(times=np.full(300, 5.0)).rows is None
    assert Order.of(times=np.full(300, np.nan)).rows is None


def test_a_fall_between_records_of_the_same_time_is_no_step_back() -> None:
    values = rising(600).reshape(-1, 3)[:, ::-1].ravel()
    assert judge(values, Order.of(times=np.arange(600.0) // 3)).told == "a counter: only rises"


def test_restarts_are_counted_by_entity() -> None:
    values = np.stack([rising(200), np.concatenate([rising(90), rising(110)]), rising(200)], 1).ravel()
    verdict = judge(values, Order.of(np.tile([7, 3, 5], 200)))
    assert verdict.told == "a counter: only rises within each entity, 1 restart"


def test_a_wrap_around_is_not_a_restart() -> None:
    assert judge((rising(300) + 2**32 - 5000) % 2**32).told == "a counter: only rises, and starts again at 2^32"


def test_what_would_tell_series_apart_is_asked_for() -> None:
    values = np.stack([rising(200, 1), rising(200, 2) + 1e6], 1).ravel()
    assert judge(values).told.endswith("in each of about 2 series in one: name what tells them apart in `key`")


def test_a_level_that_runs_away_is_told_with_its_ends() -> None:
    noise = np.random.default_rng(0).normal(size=1000)
    assert judge(np.linspace(100, 20, 1000) + noise).told == "falls all through the sample, from 96.38 to 23.62"


def test_a_level_that_ends_at_its_minimum_is_kept_with_a_warning() -> None:
    noise = np.random.default_rng(0).normal(size=1000)
    verdict = judge(np.linspace(4, 0, 1000) + noise)
    assert verdict.motion is Motion.LEVEL
    assert verdict.warning.startswith("ends the sample at its minimum")


def test_a_counter_of_rare_events_needs_two_rises_by_one() -> None:
    steps = np.isin(np.arange(900), [200, 500])
    assert judge(np.cumsum(steps).astype(float)).told == "counts what is rare: rose by 1 twice, and never fell"
    for kept in (np.cumsum(np.arange(900) == 200), 20 * np.cumsum(steps)):
        verdict = judge(kept.astype(float))
        assert verdict.motion is Motion.LEVEL
        assert "never fell: if it moves on, all that follows is flagged" in verdict.warning


def test_a_rise_at_the_very_end_proves_nothing() -> None:
    assert judge((np.arange(900) > 890).astype(float)) == Move()


def test_times_that_change_once_are_a_clock() -> None:
    assert judge(np.where(np.arange(900) < 300, 1.769e9, 1.7693e9)).motion is Motion.CLOCK
    assert judge(np.where(np.arange(900) < 300, 2.0**30, 2.0**31)).motion is Motion.LEVEL  # a size in bytes


def test_a_counter_with_uneven_restarts_has_no_bounds() -> None:
    values = np.concatenate([np.arange(length) * 3.0 for length in (200, 350, 40, 610, 80, 400, 150)])
    assert judge(values).told == "a counter: only rises, 6 restarts"
    assert judge(np.concatenate([np.arange(300) * 3.0] * 6)).motion is Motion.LEVEL


def test_a_gauge_that_climbs_for_long_and_drops_is_not_several_counters() -> None:
    random = np.random.default_rng(3)
    values = np.concatenate(
        [np.sort(random.uniform(low, low + random.uniform(0.1, 0.5), 60)) for low in random.uniform(0, 0.5, 60)]
    )
    assert judge(values + random.normal(0, 0.002, len(values))).motion is Motion.LEVEL


def test_a_level_that_runs_away_in_a_few_entities_is_kept_with_a_warning_and_in_many_left_out() -> None:
    rng = np.random.default_rng(0)
    entities, times = np.tile(np.arange(30), 300), np.repeat(np.arange(300.0), 30)
    used = 50 * rng.random(30)[entities] + 0.05 * rng.normal(size=len(times))
    order = Order.of(entities, times)
    assert judge(used, order) == Move()
    filling = used + np.where(entities < 3, 0.005 * times, 0)
    move = judge(filling, order)
    assert move.motion is Motion.LEVEL
    assert "moves one way all through the sample in 3 of 30 entities: what follows there may be flagged" in move.warning
    move = judge(used + np.where(entities < 6, 0.005 * times, 0), order)
    assert (move.motion, move.told) == (Motion.RISING, "moves one way all through the sample in 6 of 30 entities")
