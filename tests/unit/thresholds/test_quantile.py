import numpy as np
import pytest

from aestream.thresholds.quantile import QuantileThreshold

ERRORS = np.random.default_rng(0).lognormal(size=2000)


@pytest.mark.parametrize("rate", [0.5, 0.05, 0.005, 1 / 2001])
def test_the_threshold_is_the_conformal_quantile(rate: float) -> None:
    rank = int(np.ceil(2001 * (1 - rate) - 1e-9))
    assert QuantileThreshold.fit(ERRORS, false_alarm_rate=rate).value == pytest.approx(
        np.sort(ERRORS)[rank - 1], rel=0.01
    )


def test_the_promise_holds_for_any_distribution() -> None:
    """The chance of a false alarm, over samples, is at most the rate: here for 99 records and clustered errors."""
    random = np.random.default_rng(1)
    achieved = []
    for _ in range(300):
        sample, new = (np.where(random.random(n) < 0.05, 50.0, 1.0) * random.random(n) ** 9 for n in (99, 2000))
        achieved.append(np.mean(new > QuantileThreshold.fit(sample, false_alarm_rate=0.01).value))
    assert 0.008 < np.mean(achieved) < 0.0115


def test_no_p_value_is_smaller_than_the_sample_can_show() -> None:
    threshold = QuantileThreshold.fit(ERRORS, false_alarm_rate=0.01)
    assert threshold.p_value(np.array([ERRORS.max(), 1e9])).tolist() == [2 / 2001, 1 / 2001]


def test_many_records_are_kept_as_few_numbers() -> None:
    many = np.random.default_rng(2).lognormal(size=300_000)
    threshold = QuantileThreshold.fit(many, false_alarm_rate=0.05)
    assert sum(array.size for array in threshold.arrays().values()) <= 3000
    assert np.mean(many > threshold.value) == pytest.approx(0.05, rel=0.02)
