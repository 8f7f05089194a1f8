import numpy as np
import pytest

from aestream.detector.residuals import WIDE, LatentBounds, ResidualScore
from aestream.types import Floats

LATENT = np.random.default_rng(0).normal(size=(2000, 3)) * [1.0, 5.0, 0.5] + [0.0, 100.0, 0.0]


def ellipsoid() -> LatentBounds:
    return LatentBounds.fit([LATENT, LATENT[::-1]])


def seen(rows: np.ndarray, members: int = 2) -> Floats:
    """The same rows for each member."""
    return np.repeat(rows[None], members, 0).astype(np.float32)


def test_normal_latent_vectors_are_left_alone() -> None:
    drawn = ellipsoid().apply(seen(LATENT))
    moved = np.abs(drawn - seen(LATENT)).max(axis=2)[0] > 1e-3
    assert 0.003 < moved.mean() < 0.02


def test_strange_latent_vectors_are_drawn_to_the_border() -> None:
    bounds = ellipsoid()
    center = LATENT.mean(axis=0)
    far = bounds.apply(seen(center + np.array([[50.0, 0, 0], [0, 0, 3.0], [1e6, 1e6, 1e6]])))[0] - center
    assert 2 < far[0, 0] < 5
    assert 1 < far[1, 2] < 2.5  # each direction by its own spread
    twice = bounds.apply(seen(far + center))[0] - center
    assert np.allclose(twice, far, atol=1e-2)


def test_outliers_in_the_training_rows_do_not_widen_the_border_much() -> None:
    dirty = np.concatenate([LATENT, LATENT[:10] + 1000.0])
    point = seen(LATENT.mean(axis=0)[None] + [[50.0, 0, 0]], 1)
    clean_border = LatentBounds.fit([LATENT]).apply(point)
    assert np.allclose(LatentBounds.fit([dirty]).apply(point), clean_border, rtol=0.2, atol=0.5)


def correlated(count: int = 3000, *, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    shared = random.normal(size=(count, 1))
    return np.hstack([shared, shared, random.normal(size=(count, 2)) * 10]) + 0.3 * random.normal(size=(count, 4))


def test_a_broken_correlation_counts_more_than_the_same_step_along_it() -> None:
    score = ResidualScore.fit([correlated(seed=1), correlated(seed=2)])
    along, across = score.error(seen(np.array([[2.0, 2.0, 0, 0], [2.0, -2.0, 0, 0]]))).tolist()
    assert across > 1.3 * along


def test_normal_residuals_have_an_error_near_one() -> None:
    rows = correlated()
    assert np.median(ResidualScore.fit([rows, rows]).error(seen(rows))) == pytest.approx(0.9, abs=0.2)


def test_the_feature_that_moved_has_the_largest_deviation() -> None:
    score = ResidualScore.fit([correlated(seed=1), correlated(seed=2)])
    parts = score.squares(seen(np.eye(4) * [8.0, 8.0, 80.0, 80.0]))[0]
    assert parts.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert np.all(parts >= 0)
    assert np.allclose(parts[~np.eye(4, dtype=bool)], 0.0)  # what one feature does is not blamed on another


def test_a_level_that_moved_in_one_stretch_only_is_no_outrage() -> None:
    """The feature is fixed but for the stretch that the first member did not see."""
    random = np.random.default_rng(0)
    quiet = random.normal(size=(500, 3)) * [1, 1, 0]
    moved = random.normal(size=(500, 3)) * [1, 1, 0] + [0, 0, 4.0]
    score = ResidualScore.fit([moved, quiet, quiet, quiet])
    assert score.member_errors(seen(moved, 4))[0].max() < 6


@pytest.mark.parametrize("width", [1, 4, WIDE + 1])
def test_any_width_and_size_gives_a_finite_error_above_zero(width: int) -> None:
    rows = np.zeros((40, width))
    rows[:, : width // 2] = np.random.default_rng(0).normal(size=(40, width // 2))
    score = ResidualScore.fit([rows, rows])
    again = ResidualScore.from_arrays(score.arrays())
    for probe in (rows[:5], rows[:5] + 74.0):
        errors = score.error(seen(probe))
        assert errors.dtype == np.float64
        assert np.isfinite(errors).all()
        assert (errors > 0).all()
        assert np.array_equal(again.error(seen(probe)), errors)
        assert np.isfinite(score.squares(seen(probe))).all()
    assert score.error(seen(rows[:5] + 74.0)).min() > 20 * score.error(seen(rows)).max()


def test_bounds_arrays_make_them_again() -> None:
    bounds = ellipsoid()
    again = LatentBounds.from_arrays(bounds.arrays())
    assert np.array_equal(again.apply(seen(LATENT * 3)), bounds.apply(seen(LATENT * 3)))


def test_a_feature_that_jumps_now_and_then_is_measured_by_its_jumps() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(8000, 20))
    rows[::200, 1] = 12.0  # quiet, but for one row in 200
    scorer = ResidualScore.fit([rows[:4000], rows[4000:]])
    moved, jump = scorer.error(seen(np.eye(20)[:2] * 12.0)).tolist()
    assert jump < 0.6 * moved


def test_rows_with_many_features_off_do_not_widen_what_is_usual() -> None:
    clean = correlated()
    dirty = np.concatenate([clean, clean[:120] + 40.0])
    probe = seen(np.array([[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 40.0, 0.0]]))
    usual = ResidualScore.fit([clean]).error(probe)
    assert (ResidualScore.fit([dirty]).error(probe) / usual).min() > 0.8


def test_a_feature_that_moves_in_outer_rows_alone_is_not_taken_for_a_fixed_one() -> None:
    random = np.random.default_rng(3)
    rows = random.normal(size=(6000, 2))
    rows[:, 1] = 0.0
    rows[::50, 1] = 1.0  # with so few features such a row is an outer one
    scorer = ResidualScore.fit([rows[:3000], rows[3000:]])
    fixed = ResidualScore.fit([rows[1:100], rows[1:100]])
    probe = seen(np.array([[0.0, 1.0]]))
    assert scorer.error(probe) < 0.6 * fixed.error(probe)
    assert scorer.error(probe) > 5


def test_a_single_wild_row_widens_nothing() -> None:
    random = np.random.default_rng(4)
    rows = random.normal(size=(6000, 2))
    usual = ResidualScore.fit([rows[:3000], rows[3000:]]).error(seen(np.ones((1, 2))))[0]
    rows[17] = 10_000.0
    assert ResidualScore.fit([rows[:3000], rows[3000:]]).error(seen(np.ones((1, 2))))[0] > 0.95 * usual


def test_gaussian_residuals_have_no_tails_to_speak_of() -> None:
    rows = np.random.default_rng(2).normal(size=(20_000, 3))
    errors = ResidualScore.fit([rows[:10_000], rows[10_000:]]).error(seen(rows))
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(1.0, abs=0.1)
