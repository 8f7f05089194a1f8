"""What every trained network must do. That it gives the numbers of its training: `test_model_contract`."""

import numpy as np
import pytest

import aestream.models.skip
from aestream.errors import ModelError
from aestream.models.base import kinds as models
from aestream.networks.base import TrainedNetwork, kinds, restore
from aestream.types import Floats

SIZES = {"features": 6, "latent_size": 2, "hidden": 16, "seed": 5}
KINDS = {"dense": {**SIZES, "rows": 3, "context": 2}, "skip": SIZES}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1, 6])
def config(kind: str, request: pytest.FixtureRequest) -> dict[str, int]:
    return {**KINDS[kind], "members": request.param}


@pytest.fixture
def network(kind: str, config: dict[str, int]) -> TrainedNetwork:
    return models()[kind](**config).trained()


def rows(network: TrainedNetwork, count: int = 50) -> Floats:
    return np.random.default_rng(1).normal(size=(count, network.features + network.context)).astype(np.float32)


def test_every_kind_is_tested_and_every_model_of_the_package_has_one() -> None:
    assert set(KINDS) == set(kinds())
    ours = {kind for kind, model in models().items() if model.__module__.startswith(aestream.models.__name__)}
    assert ours == set(kinds())


def test_shapes(network: TrainedNetwork) -> None:
    for count in (0, 1, 7):
        inputs = rows(network, count)
        latent = network.encode(inputs)
        assert latent.shape == (network.members, count, network.latent_size)
        assert network.decode(latent).shape == (network.members, count, network.features)
        assert np.array_equal(network(inputs), network.decode(latent))
        assert latent.dtype == network(inputs).dtype == np.float32


def test_members_may_get_rows_of_their_own(network: TrainedNetwork) -> None:
    inputs = rows(network)
    own = np.stack([inputs * (1 + member) for member in range(network.members)])
    expected = [network(one)[member] for member, one in enumerate(own)]
    assert np.allclose(network(own), np.stack(expected), atol=1e-6)
    shared = np.broadcast_to(inputs, own.shape)
    assert np.allclose(network(shared), network(inputs), atol=1e-6)


def test_a_result_does_not_depend_on_the_rows_beside_it(network: TrainedNetwork) -> None:
    inputs = rows(network, 700)
    parts = [network(inputs[start : start + size]) for start, size in ((0, 1), (1, 17), (18, 682))]
    assert np.allclose(np.concatenate(parts, axis=1), network(inputs), atol=1e-5)


def test_inputs_and_weights_are_left_alone(network: TrainedNetwork) -> None:
    inputs, before = rows(network), {name: array.copy() for name, array in network.weights.items()}
    first = network(inputs)
    assert np.array_equal(inputs, rows(network))
    assert all(np.array_equal(array, network.weights[name]) for name, array in before.items())
    assert np.array_equal(network(inputs), first)


def test_weights_and_config_build_it_again(kind: str, config: dict[str, int], network: TrainedNetwork) -> None:
    again = restore(kind, network.config(), network.weights)
    assert network.config() == config
    assert np.array_equal(again(rows(network)), network(rows(network)))


def test_weights_of_another_shape_or_name_are_refused(kind: str, network: TrainedNetwork) -> None:
    with pytest.raises(ModelError, match="do not fit"):
        restore(kind, {**network.config(), "latent_size": 3}, network.weights)
    with pytest.raises(ModelError, match="do not fit"):
        restore(kind, network.config(), dict(list(network.weights.items())[1:]))
    with pytest.raises(ModelError, match="do not fit"):
        restore(kind, network.config(), {**network.weights, "more": np.zeros(1)})
    with pytest.raises(ModelError, match="do not fit"):
        restore(kind, {**network.config(), "colour": 3}, network.weights)


def test_an_unknown_kind_is_refused(network: TrainedNetwork) -> None:
    with pytest.raises(ModelError, match="the model kind 'quantum' is unknown"):
        restore("quantum", network.config(), network.weights)


def test_a_dense_network_from_before_windows_is_one_of_single_rows() -> None:
    sizes = {**SIZES, "members": 3}
    network = restore("dense", sizes, models()["dense"](**sizes).trained().weights)
    assert (network.rows, network.context) == (1, 0)
