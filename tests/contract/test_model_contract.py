"""What every kind of autoencoder must do. A new kind is tested by being importable here."""

import numpy as np
import pytest
import torch

import aestream.models.skip  # noqa: F401 - enters its kind
import tests.bench.quality.convolutional
import tests.bench.quality.recurrent  # noqa: F401 - the same
from aestream.detector.folds import Folds, evenly
from aestream.models.base import Autoencoder, kinds, state
from aestream.models.fit import fit

SIZES = {"features": 6, "latent_size": 2, "hidden": 16, "members": 3, "seed": 5}
WINDOW = {**SIZES, "rows": 3}
CONFIGS = {"convolutional": WINDOW, "dense": SIZES, "recurrent": WINDOW, "skip": SIZES}


def rows(count: int = 200) -> torch.Tensor:
    """Six features that two hidden numbers explain."""
    random = np.random.default_rng(1)
    return torch.from_numpy((random.normal(size=(count, 2)) @ random.normal(size=(2, 6))).astype(np.float32))


def test_every_kind_is_tested() -> None:
    assert set(CONFIGS) == set(kinds())


@pytest.fixture(params=sorted(CONFIGS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(kind: str) -> Autoencoder:
    return kinds()[kind](**CONFIGS[kind])


def train(model: Autoencoder, seed: int = 0) -> float:
    data = rows().numpy()
    folds = Folds.of(len(data), model.members)
    seen, unseen = evenly(folds.seen, len(data)), evenly(folds.unseen, len(data))
    return fit(model, data, seen, unseen, steps=200, noise=0.05, seed=seed).validation_loss


@pytest.mark.parametrize("kind", ["convolutional", "dense", "recurrent"])
def test_a_window_is_seen_as_rows_of_the_same_features_beside_a_context_that_is_not_reconstructed(kind: str) -> None:
    sizes: dict[str, int] = {**SIZES, "features": 30, "members": 5, "rows": 3, "context": 2}
    model = kinds()[kind](**sizes)
    inputs = torch.ones(5, 7, 32, requires_grad=True)
    assert model(inputs).shape == (5, 7, 30)
    (slopes,) = torch.autograd.grad(model.encode(inputs).sum(), inputs)
    seen = slopes.ne(0).any(dim=1)
    shown = seen[:, :30].view(5, 3, 10)
    assert torch.equal(shown[:, 0], shown[:, 1])
    assert torch.equal(shown[:, 0], shown[:, 2])
    assert (shown[:, 0].sum(dim=1) == 6).all()
    assert seen[:, 30:].all()
    trained = model.trained()
    assert (trained.rows, trained.context) == (3, 2)


def test_shapes(model: Autoencoder) -> None:
    latent = model.encode(rows(7))
    assert latent.shape == (model.members, 7, model.latent_size)
    assert model.decode(latent).shape == (model.members, 7, model.features)
    assert torch.equal(model(rows(7)), model.decode(latent))


def test_no_rows_give_no_rows(model: Autoencoder) -> None:
    assert model(rows(0)).shape == (model.members, 0, model.features)


def test_members_may_get_rows_of_their_own(model: Autoencoder) -> None:
    shared = model(rows(7))
    own = model(rows(7).expand(model.members, -1, -1).contiguous())
    assert torch.allclose(shared, own, atol=1e-6)


def test_the_input_is_left_alone(model: Autoencoder) -> None:
    data = rows(7)
    model(data)
    assert torch.equal(data, rows(7))


def test_it_learns_to_reconstruct(model: Autoencoder) -> None:
    before = (model(rows()) - rows()).square().mean().item()
    assert train(model) < 0.2 * before


def test_same_seed_same_weights_and_no_global_randomness(kind: str) -> None:
    torch.manual_seed(1)
    first = kinds()[kind](**CONFIGS[kind])
    train(first)
    torch.manual_seed(2)
    drawn_before = torch.random.get_rng_state()
    second = kinds()[kind](**CONFIGS[kind])
    train(second)
    assert torch.equal(torch.random.get_rng_state(), drawn_before)
    assert all(np.array_equal(state(first)[name], state(second)[name]) for name in state(first))
    third = kinds()[kind](**{**CONFIGS[kind], "seed": 6})
    assert any(not np.array_equal(state(third)[name], state(second)[name]) for name in state(third))


def test_once_trained_it_gives_the_same_without_learning_any_more(model: Autoencoder) -> None:
    train(model)
    trained, data = model.trained(), rows(500) * 3
    with torch.inference_mode():
        latent, own = model.encode(data), data.expand(model.members, -1, -1).flip(0) * 2
        assert np.allclose(trained.encode(data.numpy()), latent.numpy(), atol=1e-5)
        assert np.allclose(trained.decode(latent.numpy()), model.decode(latent).numpy(), atol=1e-5)
        assert np.allclose(trained(data.numpy()), model(data).numpy(), atol=1e-5)
        assert np.allclose(trained(own.numpy()), model(own).numpy(), atol=1e-5)
    assert {**trained.config(), **model.config()} == model.config()
