"""Every part that the bench switches off is still there, still matters, and is put back."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

from aestream import Detector
from aestream.detector import residuals
from aestream.detector.merged import Merged
from aestream.detector.residuals import LatentBounds
from aestream.models.dense import DenseAutoencoder
from aestream.networks.dense import TrainedDense
from tests.bench.quality.ablation import OVERRIDES, SHARED, WINDOWED, Override
from tests.bench.quality.sequence import MeanOfMembers
from tests.bench.quality.variational import VARIANCE, VariationalAutoencoder

STEPS = 60


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Correlated, with a few rows far out: enough for every part to have something to do."""
    random = np.random.default_rng(0)
    made = random.normal(size=(2400, 2)) @ random.normal(size=(2, 6)) + 0.5 * random.normal(size=(2400, 6))
    made[::60] *= 10
    made[0] *= 100
    return made


@pytest.fixture(scope="module")
def whole(rows: np.ndarray) -> np.ndarray:
    return Detector(steps=STEPS).fit(rows).error(rows)


@pytest.mark.parametrize("part", OVERRIDES)
def test_without_a_part_the_errors_are_others_and_afterwards_the_same(
    part: str, rows: np.ndarray, whole: np.ndarray
) -> None:
    with OVERRIDES[part].applied() as options:
        errors = Detector(steps=STEPS, **options).fit(rows).error(rows)
    changed = np.abs(np.log(errors / np.median(errors)) - np.log(whole / np.median(whole)))
    assert changed.max() > 1e-3


@pytest.fixture(scope="module")
def series() -> tuple[np.ndarray, np.ndarray]:
    """Three days of two slow waves seen by five features, three switches, and times ten minutes apart."""
    random, times = np.random.default_rng(0), 600.0 * np.arange(1600)
    day = 2 * np.pi * times / 86_400
    waves = np.column_stack([np.sin(day), np.cumsum(random.normal(size=1600)) / 20])
    made = waves @ random.normal(size=(2, 5)) + 0.1 * random.standard_t(3, size=(1600, 5))
    return np.column_stack([made, random.random((1600, 3)) > 0.9]), times


@pytest.fixture(scope="module")
def judged(series: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return judge_windows(*series)


def judge_windows(rows: np.ndarray, times: np.ndarray, **options: Any) -> np.ndarray:
    detector = Detector(steps=STEPS, **{"window": 10, **options}).fit(rows[:1200], times=times[:1200])
    return detector.error(rows[1200:], times=times[1200:])


@pytest.mark.parametrize("part", WINDOWED)
def test_without_a_part_the_errors_of_windows_are_others_and_afterwards_the_same(
    part: str, series: tuple[np.ndarray, np.ndarray], judged: np.ndarray
) -> None:
    with WINDOWED[part].applied() as options:
        errors = judge_windows(*series, **options)
    changed = np.abs(np.log(errors / np.median(errors)) - np.log(judged / np.median(judged)))
    assert changed.max() > 1e-3
    assert np.array_equal(judge_windows(*series), judged)


def test_entities_can_be_taken_for_alike(series: tuple[np.ndarray, np.ndarray]) -> None:
    rows, keys = np.concatenate([series[0], 5 + 2 * series[0]]), np.repeat(["a", "b"], 1600)
    kept = Detector(steps=STEPS, window=10).fit(rows, keys=keys).error(rows, keys=keys)
    with SHARED.applied():
        alike = Detector(steps=STEPS, window=10).fit(rows, keys=keys).error(rows, keys=keys)
    assert not np.allclose(kept, alike, rtol=0.05)


def test_all_parts_are_put_back(rows: np.ndarray, whole: np.ndarray) -> None:
    for override in OVERRIDES.values():
        with override.applied():
            pass
    assert np.array_equal(Detector(steps=STEPS).fit(rows).error(rows), whole)


def test_parts_are_put_back_after_a_failure() -> None:
    before = residuals.REFITS
    override = Override("", {"detector.residuals:REFITS": before + 1})
    with contextlib.suppress(KeyError), override.applied():
        raise KeyError
    assert before == residuals.REFITS


def test_a_part_that_is_gone_is_an_error() -> None:
    with pytest.raises(AttributeError, match="NO_SUCH"), Override("", {"detector.residuals:NO_SUCH": 0}).applied():
        pass


def test_the_variational_one_learns_by_the_gradient_of_its_elbo() -> None:
    sizes = {"features": 5, "latent_size": 2, "hidden": 8, "members": 3, "seed": 1}
    model, other = VariationalAutoencoder(**sizes), VariationalAutoencoder(**sizes)
    rows = torch.randn((3, 40, 5), generator=torch.Generator().manual_seed(0))
    (model(rows) - rows).square().mean(2).mean(1).sum().backward()

    first, to_mean, _, _, to_variance = zip(other.weights, other.biases, strict=True)
    hidden = torch.relu(rows @ (first[0] * other.shown) + first[1])
    mean, log_variance = hidden @ to_mean[0] + to_mean[1], hidden @ to_variance[0] + to_variance[1]
    drawn = mean + torch.randn(mean.shape, generator=other._random) * log_variance.exp().sqrt()
    normal = torch.distributions.Normal(mean, log_variance.exp().sqrt())
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(2)
    error = (other.decode(drawn) - rows).square().mean(2)
    (error + 2 * VARIANCE / 5 * divergence).mean(1).sum().backward()  # type: ignore[no-untyped-call]

    for own, wanted in zip(model.parameters(), other.parameters(), strict=True):
        assert own.grad is not None
        assert wanted.grad is not None
        assert torch.allclose(own.grad, wanted.grad, rtol=1e-4, atol=1e-7)
    with torch.inference_mode():
        assert torch.equal(model.encode(rows), model.encode(rows))


def test_members_that_are_not_merged_are_judged_by_the_same_mean() -> None:
    model = DenseAutoencoder(features=12, latent_size=3, hidden=8, members=4, seed=1, rows=4, context=2)
    trained = model.trained()
    assert isinstance(trained, TrainedDense)
    rows = np.random.default_rng(0).normal(size=(200, 14)).astype(np.float32)
    bounds = LatentBounds.fit(list(trained.encode(rows).astype(np.float64)))
    merged, mean = Merged(trained, bounds), MeanOfMembers(trained, bounds)
    assert np.allclose(merged(3 * rows), mean(3 * rows), atol=1e-5)
    assert np.allclose(merged.latent(3 * rows), mean.latent(3 * rows), atol=1e-5)
