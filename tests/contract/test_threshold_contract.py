"""What every threshold must do. A new one is tested by being listed."""

import numpy as np
import numpy.typing as npt
import pytest

from aestream.errors import DataError
from aestream.thresholds.base import Threshold
from aestream.thresholds.calibrators import CALIBRATORS, agreed_rate, restore

KINDS = list(CALIBRATORS.values())


def errors(count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).lognormal(size=count)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def kind(request: pytest.FixtureRequest) -> type[Threshold]:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("rate", [0.05, 0.01, 0.001])
def test_the_rate_asked_for_is_the_rate_on_new_records(kind: type[Threshold], rate: float) -> None:
    threshold = kind.fit(errors(50_000), false_alarm_rate=rate)
    achieved = np.mean(errors(1_000_000, seed=1) > threshold.value)
    assert 0.7 * rate < achieved < 1.3 * rate
    assert not threshold.warnings


@pytest.mark.parametrize("rate", [0.05, 0.01, 0.001])
def test_the_smallest_sample_that_supports_a_rate_keeps_it_nearly_and_says_that_it_is_small(
    kind: type[Threshold], rate: float
) -> None:
    count = kind.records_needed(rate)
    achieved = []
    for seed in range(40):
        threshold = kind.fit(errors(count, seed), false_alarm_rate=rate)
        assert f"{10 / rate:.0f} records" in threshold.warnings[0]
        achieved.append(np.mean(errors(50_000, seed=100 + seed) > threshold.value))
    assert 0 < np.mean(achieved) < 2 * rate


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001, 1e-5])
def test_a_rate_that_the_sample_cannot_support_is_refused_with_the_records_needed(
    kind: type[Threshold], rate: float
) -> None:
    needed = kind.records_needed(rate)
    assert kind.fit(errors(needed), false_alarm_rate=rate).false_alarm_rate == rate
    with pytest.raises(DataError, match=f"cannot support .* {rate:g}: give at least {needed}, or raise") as refused:
        kind.fit(errors(needed - 1), false_alarm_rate=rate)
    advised = float(str(refused.value).rpartition(" ")[2])
    assert kind.fit(errors(needed - 1), false_alarm_rate=advised).value > 0


@pytest.mark.parametrize("count", [1, 20, 33, 249, 250, 500, 998, 999, 5000])
def test_who_asks_for_no_rate_gets_the_usual_one_or_the_lowest_there_is(kind: type[Threshold], count: int) -> None:
    rate = agreed_rate(kind, None, count)
    assert rate == (0.001 if kind.records_needed(0.001) <= count else kind.lowest_rate(count))
    assert kind.fit(errors(count), false_alarm_rate=rate).value > 0


def test_a_smaller_rate_is_a_larger_threshold(kind: type[Threshold]) -> None:
    rates = (0.5, 0.1, 0.02, 0.004, 0.001, 0.0006)
    values = [kind.fit(errors(2000), false_alarm_rate=rate).value for rate in rates]
    assert values == sorted(set(values))


@pytest.mark.parametrize("rate", [0.3, 0.05, 0.001])
@pytest.mark.parametrize("count", [250, 1500, 40_000])
def test_what_lies_above_the_threshold_has_a_p_value_below_the_rate_and_nothing_else_has(
    kind: type[Threshold], count: int, rate: float
) -> None:
    threshold = kind.fit(errors(count), false_alarm_rate=agreed_rate(kind, None, count) if rate == 0.001 else rate)
    new = np.concatenate([errors(20_000, seed=1), errors(count)])
    assert np.array_equal(threshold.p_value(new) <= threshold.false_alarm_rate * (1 + 1e-9), new > threshold.value)


def test_order_does_not_matter(kind: type[Threshold]) -> None:
    values = [kind.fit(sample, false_alarm_rate=0.001).value for sample in (errors(1500), errors(1500)[::-1])]
    assert values[0] == values[1]


@pytest.mark.parametrize("count", [100, 400, 5000])
def test_p_values_are_chances_and_agree_with_the_threshold(kind: type[Threshold], count: int) -> None:
    threshold = kind.fit(errors(count), false_alarm_rate=0.01)
    levels = np.concatenate([[0.0], np.geomspace(1e-6, 1e12, 2000), [1e300]])
    chances = threshold.p_value(levels)
    assert np.all((chances > 0) & (chances <= 1))
    assert np.all(np.diff(chances) <= 0)
    assert chances[0] == 1.0
    assert np.all(threshold.p_value(levels[levels > threshold.value]) <= 0.01 * (1 + 1e-9))


def test_p_values_of_new_normal_records_are_uniform(kind: type[Threshold]) -> None:
    chances = kind.fit(errors(20_000), false_alarm_rate=0.01).p_value(errors(20_000, seed=1))
    for share in (0.5, 0.1, 0.01):
        assert np.mean(chances <= share) == pytest.approx(share, rel=0.25)


@pytest.mark.parametrize("flat", [0.0, 3.0])
def test_errors_that_are_all_alike_give_a_usable_threshold(kind: type[Threshold], flat: float) -> None:
    threshold = kind.fit(np.full(100, flat), false_alarm_rate=0.01)
    assert np.isfinite(threshold.value)
    assert threshold.value > 0
    assert threshold.p_value(np.array([10.0]))[0] < 0.01


@pytest.mark.parametrize("power", [1e-3, 0.1, 10.0, 80.0])
def test_errors_of_any_spread_give_a_usable_threshold(kind: type[Threshold], power: float) -> None:
    sample = errors(2000) ** power
    threshold = kind.fit(sample, false_alarm_rate=0.001)
    assert np.isfinite(threshold.value)
    assert np.sort(sample)[-20] < threshold.value
    assert np.isfinite(threshold.p_value(np.array([0.0, 1e-300, 1e300, np.finfo(float).max]))).all()


def test_two_different_errors_only(kind: type[Threshold]) -> None:
    sample = np.repeat([1.0, 2.0], [900, 100])
    assert kind.fit(sample, false_alarm_rate=0.2).value == 1.0
    assert 2.0 <= kind.fit(sample, false_alarm_rate=0.05).value < 2.5


def test_no_errors_no_p_values(kind: type[Threshold]) -> None:
    assert kind.fit(errors(100), false_alarm_rate=0.01).p_value(np.empty(0)).shape == (0,)


def test_the_sample_is_left_alone(kind: type[Threshold]) -> None:
    sample = errors(100)
    kind.fit(sample, false_alarm_rate=0.01).p_value(sample)
    assert np.array_equal(sample, errors(100))


def test_it_survives_being_kept(kind: type[Threshold]) -> None:
    threshold = kind.fit(errors(300), false_alarm_rate=0.01)
    again = restore({"kind": kind.kind, **threshold.to_dict()}, threshold.arrays())
    assert type(again) is kind
    assert (again.value, again.false_alarm_rate) == (threshold.value, threshold.false_alarm_rate)
    assert again.warnings == threshold.warnings
    assert np.array_equal(again.p_value(errors(1000, 2)), threshold.p_value(errors(1000, 2)))
