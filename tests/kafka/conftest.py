"""A cluster, a trained model, and the settings that bring a worker to both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aestream.demo.brokers import Broker
from tests.kafka import records
from tests.kafka.cluster import Cluster

Settings = dict[str, str]


@pytest.fixture(scope="session")
def cluster(kafka: str) -> Iterator[Cluster]:
    made = Cluster(kafka)
    yield made
    made.close()


@pytest.fixture
def pausable(cluster: Cluster, request: pytest.FixtureRequest) -> Broker:
    """The cluster's own broker, to be paused."""
    if os.environ.get("AESTREAM_TEST_BOOTSTRAP_SERVERS"):
        pytest.skip("only a broker of our own can be paused")
    broker: Broker = request.getfixturevalue("apache_kafka")
    assert broker.bootstrap == cluster.bootstrap
    return broker


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with one version. Copy it before you change it."""
    store = tmp_path_factory.mktemp("trained")
    records.train(store)
    return store


@pytest.fixture(scope="session")
def make_settings(cluster: Cluster, trained: Path) -> Callable[..., Settings]:
    """Settings for a fresh group and fresh result topics, and a store of its own in `folder`."""

    def make(folder: Path, *inputs: str, partitions: int = 1, model: bool = True) -> Settings:
        store = folder / "models"
        if model and not store.exists():
            shutil.copytree(trained, store)
        return {
            "kafka__bootstrap_servers": cluster.bootstrap,
            "kafka__group_id": cluster.name("group"),
            "kafka__session_timeout_ms": "6000",
            "kafka__heartbeat_interval_ms": "1000",
            "topics__input": ",".join(inputs),
            "topics__scores": cluster.topic("scores", partitions=partitions),
            "topics__anomalies": cluster.topic("anomalies", partitions=partitions),
            "topics__dead_letters": cluster.topic("dead", partitions=partitions),
            "model__store": str(store),
            "model__poll_interval": "500ms",
        }

    return make
