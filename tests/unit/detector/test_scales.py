import numpy as np
import pytest

from aestream.detector.scales import OWN_ROWS, Scales, numbered

RANDOM = np.random.default_rng(0)
NUMERIC = np.array([0, 1])


def servers(rows: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Two servers of other sizes, and a third feature that is a category."""
    who = np.repeat([1, 2], rows)
    center, spread = np.array([[10.0, 5.0], [1000.0, 5.0]])[who - 1], np.array([[1.0, 0.0], [50.0, 2.0]])[who - 1]
    numbers = center + spread * RANDOM.normal(size=(2 * rows, 2))
    return np.column_stack([numbers, RANDOM.integers(-1, 3, 2 * rows)]), who


def test_entities_of_any_size_are_alike_in_the_frame() -> None:
    rows, who = servers()
    moved = Scales.fit(rows, who, NUMERIC).toward(rows, who)
    for entity in (1, 2):
        assert moved[who == entity, 0].mean() == pytest.approx(rows[:, 0].mean(), abs=0.05 * rows[:, 0].std())
        assert moved[who == entity, 0].std() == pytest.approx(rows[:, 0].std(), rel=0.05)
    assert (moved[:, 2] == rows[:, 2]).all()


def test_the_way_back_is_the_way_there() -> None:
    rows, who = servers()
    scales = Scales.fit(rows, who, NUMERIC)
    assert np.allclose(scales.back(scales.toward(rows, who), who), rows, rtol=1e-12)


def test_a_feature_that_never_moves_in_an_entity_has_a_spread_all_the_same() -> None:
    rows, who = servers()
    factor = Scales.fit(rows, who, NUMERIC).factor
    assert np.isfinite(factor).all()
    assert factor[1, 1] > factor[2, 1]


def test_few_rows_are_drawn_towards_what_is_usual() -> None:
    """Ten alike servers, of which one has few rows, and these happen to be too high and too calm."""
    rows, who = RANDOM.normal(size=(10_000, 1)), np.repeat(np.arange(1, 11), 1000)
    few = np.concatenate([np.arange(OWN_ROWS), np.arange(1000, 10_000)])
    rows[:OWN_ROWS] = rows[:OWN_ROWS] * 0.3 + 0.5
    scales = Scales.fit(rows[few], who[few], np.array([0]))
    assert 0.02 < scales.center[1, 0] < 0.4
    assert 1.05 < scales.factor[1, 0] < 3


def test_an_entity_without_its_own_stays_as_it_is() -> None:
    rows, who = servers()
    scales = Scales.fit(rows, who, NUMERIC)
    nobody = np.zeros(len(rows), np.intp)
    assert scales.toward(rows, nobody) is rows
    assert scales.back(rows, nobody) is rows
    assert Scales.fit(rows, nobody, NUMERIC).toward(rows, nobody) is rows


def test_missing_values_stay_missing_and_teach_nothing() -> None:
    rows, who = servers()
    gaps = rows.copy()
    gaps[::3, 0] = np.nan
    gaps[who == 1, 1] = np.nan
    scales = Scales.fit(gaps, who, NUMERIC)
    assert scales.center[1, 0] == pytest.approx(10, abs=1)
    assert scales.center[1, 1] == scales.home[1]
    assert np.array_equal(np.isnan(scales.toward(gaps, who)), np.isnan(gaps))


def test_values_of_any_magnitude_are_scaled() -> None:
    rows, who = servers()
    rows[:, 0] *= 1e303
    scales = Scales.fit(rows, who, NUMERIC)
    assert np.isfinite(scales.toward(rows, who)).all()


def test_saved_and_read_again_they_are_the_same() -> None:
    rows, who = servers()
    scales = Scales.fit(rows, who, NUMERIC)
    assert (Scales.from_arrays(scales.arrays()).toward(rows, who) == scales.toward(rows, who)).all()


def test_entities_with_enough_rows_are_numbered() -> None:
    owner = np.array([7] * OWN_ROWS + [3] * 5 + [9] * OWN_ROWS)[RANDOM.permutation(2 * OWN_ROWS + 5)]
    who, owners = numbered(owner)
    assert owners.tolist() == [7, 9]
    assert (who == np.select([owner == 7, owner == 9], [1, 2])).all()
