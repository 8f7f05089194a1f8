import numpy as np
import pytest

from aestream.thresholds.quantile import QuantileThreshold

ERRORS = np.random.default_rng(0).lognormal(size=2000)


def test_a_rate_that_the_sample_can_measure_is_the_sample_s_quantile() -> None:
    threshold = QuantileThreshold.fit(ERRORS, false_alarm_rate=0.05)
    assert np.mean(threshold.value < ERRORS) == pytest.approx(0.05, abs=0.002)


def test_order_does_not_matter() -> None:
    assert QuantileThreshold.fit(ERRORS[::-1], false_alarm_rate=0.01).value == (
        QuantileThreshold.fit(ERRORS, false_alarm_rate=0.01).value
    )


def test_a_rate_below_one_record_is_never_below_the_largest_error_seen() -> None:
    assert QuantileThreshold.fit(ERRORS, false_alarm_rate=1e-4).value >= ERRORS.max()


def test_a_smaller_rate_is_a_larger_threshold() -> None:
    values = [
        QuantileThreshold.fit(ERRORS, false_alarm_rate=rate).value for rate in (0.5, 0.1, 0.01, 0.004, 1e-3, 1e-6)
    ]
    assert values == sorted(set(values))


def test_a_heavy_tail_is_extrapolated_further_than_a_light_one() -> None:
    light = QuantileThreshold.fit(1 + 0.1 * ERRORS / ERRORS.max(), false_alarm_rate=1e-4)
    heavy = QuantileThreshold.fit(ERRORS**3, false_alarm_rate=1e-4)
    assert heavy.value / np.quantile(ERRORS**3, 0.99) > light.value / np.quantile(1 + 0.1 * ERRORS / ERRORS.max(), 0.99)


def test_the_warning_names_the_records_needed() -> None:
    assert QuantileThreshold.fit(ERRORS, false_alarm_rate=0.005).warnings == ()
    assert "2000 records are few" in QuantileThreshold.fit(ERRORS, false_alarm_rate=0.001).warnings[0]
