"""Direction and least deviation of a feature: what counts, in the error, the score and the explanation alike."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aestream import Detector
from aestream.detector import deviations
from aestream.detector.deviations import EveryDeviation, Tolerances
from aestream.detector.rows import Rows
from aestream.errors import ConfigurationError

Matrix = npt.NDArray[np.float64]
NAMES = [f"feature_{i}" for i in range(4)]


def server(rows: int, seed: int = 0) -> Matrix:
    """Four metrics of one load, about 100, 1000, 10 and -50."""
    random = np.random.default_rng(seed)
    load = random.normal(size=(rows, 1))
    return load * [10, 100, 1, -5] + [100, 1000, 10, -50] + random.normal(size=(rows, 4)) * [1, 10, 0.1, 0.5]


def moved(column: int, by: float) -> Matrix:
    rows = server(40, seed=3)
    rows[:, column] += by
    return rows


@pytest.fixture(scope="module")
def plain() -> Detector:
    return fitted()


def fitted(**options: dict[str, str] | dict[str, float]) -> Detector:
    return Detector(false_alarm_rate=0.01, steps=200, **options).fit(server(2000))  # type: ignore[arg-type]


def counted(observed: list[float], expected: list[float], **options: dict[str, str] | dict[str, float]) -> list[bool]:
    asked: dict[str, dict[str, str] | dict[str, float]] = {
        "direction": {},
        "min_abs_deviation": {},
        "min_rel_deviation": {},
    }
    read = Tolerances.of(NAMES[: len(observed)], **{**asked, **options})  # type: ignore[arg-type]
    found: list[bool] = read.counts(np.array([observed]), np.array([expected]))[0].tolist()
    return found


def test_a_direction_lets_one_side_through() -> None:
    ways = {"feature_0": "up", "feature_1": "down", "feature_2": "both"}
    assert counted([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], direction=ways) == [True, False, True]
    assert counted([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], direction=ways) == [False, True, True]


def test_both_least_deviations_must_be_reached() -> None:
    least = {"min_abs_deviation": {"feature_0": 10.0}, "min_rel_deviation": {"feature_0": 0.5}}
    for observed, expected, answer in ((110, 100, False), (150, 100, True), (6, 4, False), (-150, -100, True)):
        assert counted([observed], [expected], **least) == [answer]


@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_count() -> None:
    assert counted([1.7e308], [-1.7e308], min_rel_deviation={"feature_0": 0.5}) == [True]


def test_nothing_asked_costs_nothing(plain: Detector) -> None:
    neutral = fitted(direction={"feature_0": "both"}, min_abs_deviation={"feature_1": 0.0})
    for detector in (plain, neutral):
        judge = detector._fitted.judge
        assert isinstance(judge, Rows)
        assert isinstance(judge.network.deviations, EveryDeviation)
    assert np.array_equal(plain.error(moved(0, 20)), neutral.error(moved(0, 20)))


def test_what_goes_the_other_way_is_no_anomaly(plain: Detector) -> None:
    for ways in ({"feature_1": "up"}, dict.fromkeys(NAMES, "up")):
        up = fitted(direction=ways)
        assert up.flag(moved(1, 150)).all()
        assert np.mean(up.explain(moved(1, 150)).argmax(axis=1) == 1) >= 0.9
        for far in (-70, -150, -300):
            assert plain.flag(moved(1, far)).mean() > 0.7
            assert up.flag(moved(1, far)).mean() < 0.1
            found = up.attribute(moved(1, far))
            assert (found.share[:, 1][found.observed[:, 1] <= found.expected[:, 1]] == 0).all()
            assert np.mean(found.share[:, 1] == 0) > 0.9


def test_what_is_too_small_is_no_anomaly(plain: Detector) -> None:
    for option, least in (("min_abs_deviation", 300.0), ("min_rel_deviation", 0.3)):
        least_of = {option: dict.fromkeys(NAMES, least)}
        tolerant = fitted(**least_of)
        assert plain.flag(moved(1, 150)).all()
        assert not tolerant.flag(moved(1, 150)).any()
        assert tolerant.flag(moved(1, 900)).all()


def test_where_nothing_counts_error_score_and_shares_are_zero() -> None:
    tolerant = fitted(min_abs_deviation=dict.fromkeys(NAMES, 500.0))
    rows = np.vstack([server(50, seed=1), moved(1, 2000)])
    found = tolerant.detect(rows)
    none = np.arange(len(rows)) < 50
    assert (found.error[none] == 0).all()
    assert (found.score[none] == 0).all()
    assert (found.p_value[none] == 1).all()
    assert np.isfinite(found.score).all()
    assert found.anomaly[~none].all()
    shares = tolerant.explain(rows)
    assert (shares[none] == 0).all()
    assert np.allclose(shares[~none].sum(axis=1), 1)


def test_the_false_alarm_rate_is_that_of_what_counts() -> None:
    picky = fitted(direction=dict.fromkeys(NAMES, "up"), min_rel_deviation={"feature_0": 0.01})
    assert 0.002 < picky.flag(server(20_000, seed=2)).mean() < 0.025


def test_it_survives_being_kept(tmp_path: Path) -> None:
    picky = fitted(direction={"feature_0": "down"}, min_abs_deviation={"feature_2": 0.5})
    picky.save(tmp_path / "m")
    again = Detector.load(tmp_path / "m")
    assert again.options == picky.options
    assert np.array_equal(again.score(moved(0, 30)), picky.score(moved(0, 30)))
    assert np.array_equal(again.explain(moved(0, 30)), picky.explain(moved(0, 30)))


@pytest.mark.parametrize("option", ["direction", "min_abs_deviation", "min_rel_deviation"])
def test_a_name_that_is_no_feature_is_one_clear_line(option: str) -> None:
    value = "up" if option == "direction" else 1.0
    with pytest.raises(ConfigurationError, match=rf"^{option} names 'cpu', which is not a feature: .* feature_0, "):
        fitted(**{option: {"cpu": value}})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [("direction", "sideways"), ("min_abs_deviation", -1.0), ("min_rel_deviation", float("nan"))],
)
def test_values_that_cannot_be_meant_are_refused(option: str, value: str | float) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} of 'feature_0' is"):
        Detector(**{option: {"feature_0": value}})  # type: ignore[arg-type]


def test_more_rounds_would_change_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = fitted(direction={"feature_0": "up", "feature_1": "down"}, min_abs_deviation={"feature_2": 0.2})
    rows = np.concatenate([server(2000, seed=4), moved(0, -40.0), moved(1, 300.0), moved(2, 0.5)])
    flags = detector.flag(rows)
    monkeypatch.setattr(deviations, "ROUNDS", 2 * deviations.ROUNDS)
    assert np.mean(detector.flag(rows) != flags) < 0.002
    assert 30 < flags.sum() < 100
