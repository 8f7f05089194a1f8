"""Dimensionality reduction and denoising: better than the linear methods where the data are curved, and never odd."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aestream import Detector
from aestream.errors import ConfigurationError, DataError
from aestream.features import numeric

Matrix = npt.NDArray[np.float64]
UNITS = np.array([1e9, 30, 0.01, 5, 2, 100])
LEVELS = np.array([4e9, 50, 0.05, 90, 7, 1000])
LATENT, NOISE = 2, 0.5


def curved(rows: int, seed: int) -> Matrix:
    """Six features in their own units that bend with two hidden numbers: no plane holds them."""
    random = np.random.default_rng(seed)
    a, b = random.uniform(-2, 2, size=(2, rows))
    rows_of: Matrix = np.column_stack([a, b, a * b, np.sin(2 * a), np.cos(2 * b), a**2 - b]) * UNITS + LEVELS
    return rows_of


@pytest.fixture(scope="module")
def train() -> Matrix:
    return curved(2000, seed=0)


@pytest.fixture(scope="module")
def held_out() -> Matrix:
    return curved(2000, seed=1)


@pytest.fixture(scope="module")
def small(train: Matrix) -> Detector:
    return Detector(latent_size=LATENT, steps=400).fit(train)


@pytest.fixture(scope="module")
def quiet(train: Matrix) -> Detector:
    return Detector(noise=NOISE, steps=400).fit(train)


def lost(rebuilt: Matrix, clean: Matrix, train: Matrix) -> float:
    """The sum of squares in standard deviations of the features."""
    return float((((rebuilt - clean) / train.std(axis=0)) ** 2).sum())


def components(train: Matrix) -> tuple[Matrix, Matrix]:
    """Principal variances and axes of the scaled features, the largest first."""
    scaled = (train - train.mean(axis=0)) / train.std(axis=0)
    values, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    return values[::-1], axes[:, ::-1]


def test_a_latent_vector_says_more_than_as_many_principal_components(
    small: Detector, train: Matrix, held_out: Matrix
) -> None:
    latent = small.encode(held_out)
    assert latent.shape == (2000, LATENT)
    total = lost(np.broadcast_to(held_out.mean(axis=0), held_out.shape), held_out, train)
    scaled = (held_out - train.mean(axis=0)) / train.std(axis=0)
    axes = components(train)[1][:, :LATENT]
    by_components = ((scaled - scaled @ axes @ axes.T) ** 2).sum() / total
    assert by_components > 0.3
    assert lost(small.decode(latent), held_out, train) / total < 0.4 * by_components
    assert np.allclose(small.decode(latent) / UNITS, small.reconstruct(held_out) / UNITS, rtol=0, atol=1e-4)


def test_less_noise_is_left_than_by_the_wiener_filter(quiet: Detector, train: Matrix, held_out: Matrix) -> None:
    noise = NOISE * np.random.default_rng(2).normal(size=held_out.shape)
    noisy = held_out + noise * train.std(axis=0)
    values, axes = components(train)
    scaled = (noisy - train.mean(axis=0)) / train.std(axis=0)
    wiener = scaled @ (axes * (values / (values + NOISE**2))) @ axes.T * train.std(axis=0) + train.mean(axis=0)
    left = lost(quiet.denoise(noisy), held_out, train)
    assert left < 0.85 * lost(wiener, held_out, train) < 0.85 * (noise**2).sum()


def test_without_training_it_is_the_linear_method(train: Matrix, held_out: Matrix) -> None:
    """The fit starts where PCA and Wiener's filter end, so a step of nothing is as good as they are."""
    axes = components(train)[1][:, :LATENT]
    scaled = (held_out - train.mean(axis=0)) / train.std(axis=0)
    by_components = ((scaled - scaled @ axes @ axes.T) ** 2).sum()
    started = Detector(latent_size=LATENT, steps=1).fit(train)
    assert lost(started.reconstruct(held_out), held_out, train) < 1.05 * by_components


def test_a_value_far_beyond_the_training_keeps_its_size_when_noise_is_removed(quiet: Detector, train: Matrix) -> None:
    far = train[:3].copy()
    far[:, 2] += 1e6 * UNITS[2]
    assert np.allclose(quiet.denoise(far)[:, 2] / far[:, 2], 1, atol=1e-3)


def test_detection_is_the_same_with_and_without_the_other_uses(
    small: Detector, quiet: Detector, train: Matrix, held_out: Matrix
) -> None:
    plain = Detector(steps=400).fit(train)
    for other in (small, quiet):
        assert np.array_equal(other.error(held_out), plain.error(held_out))
        assert other.threshold == plain.threshold


def test_both_at_once_remove_noise_through_the_latent_vector(train: Matrix, held_out: Matrix) -> None:
    both = Detector(latent_size=3, noise=0.3, steps=200).fit(train)
    noisy = held_out + 0.3 * np.random.default_rng(2).normal(size=held_out.shape) * train.std(axis=0)
    assert both.encode(noisy).shape == (2000, 3)
    assert np.allclose(both.decode(both.encode(noisy)) / UNITS, both.denoise(noisy) / UNITS, rtol=0, atol=1e-4)
    assert lost(both.denoise(noisy), held_out, train) < lost(noisy, held_out, train)


@pytest.mark.parametrize("options", [{"latent_size": LATENT}, {"noise": NOISE}, {}])
def test_saved_and_loaded_it_encodes_and_denoises_alike(
    options: dict[str, float], train: Matrix, held_out: Matrix, tmp_path: Path
) -> None:
    fitted = Detector(steps=20, **options).fit(train)  # type: ignore[arg-type]
    fitted.save(tmp_path / "model")
    again = Detector.load(tmp_path / "model")
    assert again.latent_size == fitted.latent_size
    assert np.array_equal(again.encode(held_out), fitted.encode(held_out))
    assert np.array_equal(again.decode(again.encode(held_out)), fitted.decode(fitted.encode(held_out)))
    assert np.array_equal(again.denoise(held_out), fitted.denoise(held_out))
    described = json.loads((tmp_path / "model" / "manifest.json").read_text())["representation"]
    assert (described is None) == (not options)


def test_awkward_sizes_work() -> None:
    """A longer latent vector than there are features, a constant column, more columns than rows, no rows at all."""
    random = np.random.default_rng(0)
    rows = np.hstack([random.normal(size=(40, 60)), np.full((40, 1), 7.0)])
    for width, latent in ((1, 3), (61, 2)):
        fitted = Detector(latent_size=latent, noise=NOISE, steps=5).fit(rows[:, -width:])
        assert fitted.encode(rows[:, -width:]).shape == (40, latent)
        assert np.isfinite(fitted.denoise(np.full((1, width), 1e100))).all()
        assert fitted.decode(np.empty((0, latent))).shape == (0, width)


def test_what_is_no_latent_vector_is_refused(small: Detector) -> None:
    for wrong in (np.zeros((3, LATENT + 1)), np.zeros(LATENT), np.full((1, LATENT), np.nan)):
        with pytest.raises(DataError, match=r"\(n, 2\)"):
            small.decode(wrong)


def test_noise_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="noise"):
        Detector(noise=0)


def test_far_values_do_not_decide_what_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latencies and sizes are log-normal: some rows are tens of standard deviations out."""
    random = np.random.default_rng(1)
    load = random.normal(size=(4000, 4)) @ random.normal(size=(4, 12)) + 0.2 * random.normal(size=(4000, 12))
    rows = np.hstack([load, np.exp(1.5 * load[:, :4])])
    train, held_out = rows[:2000], rows[2000:]
    usual = np.quantile(np.abs(train), 0.95, axis=0)

    def error() -> float:
        detector = Detector(latent_size=5, steps=200).fit(train)
        rebuilt = detector.decode(detector.encode(held_out))
        return float(np.square(np.clip(rebuilt / usual, -3, 3) - np.clip(held_out / usual, -3, 3)).mean())

    clipped = error()
    monkeypatch.setattr(numeric, "LINEAR", np.inf)
    assert clipped < 0.85 * error()
