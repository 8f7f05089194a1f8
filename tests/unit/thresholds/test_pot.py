import numpy as np
import pytest

from aestream.thresholds.pareto import Pareto
from aestream.thresholds.pot import PotThreshold

ERRORS = np.random.default_rng(0).lognormal(size=2000)


@pytest.mark.parametrize("shape", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_pareto_distribution_is_found_again(shape: float, scale: float) -> None:
    chances = (np.arange(5000) + 0.5)[::-1] / 5000
    sample = np.array([Pareto(scale, shape).level(chance) for chance in chances])
    found = Pareto.fit(sample, least_scale=0.0)
    assert found.shape == pytest.approx(shape, abs=0.05)
    assert found.scale == pytest.approx(scale, rel=0.05)
    assert np.allclose(Pareto(scale, shape).beyond(sample), chances)


def test_ten_excesses_are_enough_to_tell_heavy_from_light() -> None:
    light = Pareto.fit(np.linspace(0.1, 1, 10), least_scale=0.0)
    heavy = Pareto.fit(np.geomspace(0.001, 1000, 10), least_scale=0.0)
    assert 0 <= light.shape < heavy.shape <= 1
    assert heavy.level(0.01) / heavy.level(0.5) > 2 * light.level(0.01) / light.level(0.5)


def test_no_excess_no_shape() -> None:
    assert Pareto.fit(np.empty(0), least_scale=0.5) == Pareto(0.5, 0.0)


def test_a_rate_that_ten_records_exceed_is_the_sample_s_quantile() -> None:
    threshold = PotThreshold.fit(ERRORS, false_alarm_rate=0.05)
    assert np.mean(threshold.value < ERRORS) == pytest.approx(0.05, abs=0.001)
    assert not threshold.warnings


def test_a_rate_below_one_record_is_never_below_the_largest_error_seen() -> None:
    for seed in range(50):
        sample = np.random.default_rng(seed).lognormal(size=500)
        assert PotThreshold.fit(sample, false_alarm_rate=0.0006).value >= sample.max()


def test_a_heavy_tail_is_extrapolated_further_than_a_light_one() -> None:
    light, heavy = 1 + 0.1 * ERRORS / ERRORS.max(), ERRORS**3
    reach = [PotThreshold.fit(s, false_alarm_rate=2e-4).value / np.quantile(s, 0.99) for s in (light, heavy)]
    assert reach[1] > 2 * reach[0]


def test_the_rarest_errors_are_still_told_apart() -> None:
    chances = PotThreshold.fit(ERRORS, false_alarm_rate=0.01).p_value(ERRORS.max() * np.array([1, 2, 4, 8]))
    assert np.all(np.diff(chances) < 0)
    assert chances[0] == pytest.approx(1 / 2000, rel=1)


def test_the_warning_names_the_records_needed() -> None:
    assert PotThreshold.fit(ERRORS, false_alarm_rate=0.005).warnings == ()
    warning = PotThreshold.fit(ERRORS, false_alarm_rate=0.001).warnings[0]
    assert "2000 records are few" in warning
    assert "10000 records would measure it" in warning
