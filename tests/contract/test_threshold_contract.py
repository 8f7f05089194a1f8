"""What every threshold must do. A new one is tested by being listed."""

import numpy as np
import numpy.typing as npt
import pytest

from aestream.thresholds.base import Threshold
from aestream.thresholds.quantile import QuantileThreshold

KINDS: list[type[Threshold]] = [QuantileThreshold]


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


def test_a_sample_too_small_for_the_rate_is_on_the_safe_side_and_says_so(kind: type[Threshold]) -> None:
    achieved = []
    for seed in range(20):
        threshold = kind.fit(errors(500, seed), false_alarm_rate=0.001)
        assert "10000 records" in threshold.warnings[0]
        achieved.append(np.mean(errors(200_000, seed=100 + seed) > threshold.value))
    assert 0 < np.mean(achieved) < 0.0015


@pytest.mark.parametrize("count", [5, 40, 5000])
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


def test_no_errors_no_p_values(kind: type[Threshold]) -> None:
    assert kind.fit(errors(100), false_alarm_rate=0.01).p_value(np.empty(0)).shape == (0,)


def test_the_sample_is_left_alone(kind: type[Threshold]) -> None:
    sample = errors(100)
    kind.fit(sample, false_alarm_rate=0.01).p_value(sample)
    assert np.array_equal(sample, errors(100))


def test_it_survives_being_kept(kind: type[Threshold]) -> None:
    threshold = kind.fit(errors(300), false_alarm_rate=0.001)
    again = kind.restore(threshold.to_dict(), threshold.arrays())
    assert again.value == threshold.value
    assert again.warnings == threshold.warnings
    assert np.array_equal(again.p_value(errors(1000, 2)), threshold.p_value(errors(1000, 2)))
