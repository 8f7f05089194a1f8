"""A cluster, a trained model, and the settings that bring a worker to both."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from aestream.cli import main
from aestream.demo.brokers import Broker
from tests.brokers.apache import ApacheKafka
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.secured import User

# What the workers of the tests read and write with: kafka-python, or the one that the environment names. What matters
# most is tried with both.
CLIENT = os.environ.get("AESTREAM_TEST_CLIENT", "kafka-python")
CLIENTS = [CLIENT] if "AESTREAM_TEST_CLIENT" in os.environ else ["kafka-python", "confluent"]

Settings = dict[str, str]
Command = Callable[..., subprocess.CompletedProcess[str]]


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
    return partial(settings_for, cluster, trained)


@pytest.fixture(scope="session")
def secured_cluster(secured_kafka: ApacheKafka) -> Iterator[Cluster]:
    """The cluster with rules, seen by somebody who may do everything."""
    made = Cluster(secured_kafka.bootstrap)
    yield made
    made.close()


@pytest.fixture(scope="session")
def secured_settings(secured_cluster: Cluster, trained: Path) -> Callable[..., Settings]:
    """The same as `make_settings` on the cluster with rules; a user's own settings say who it is."""
    return partial(settings_for, secured_cluster, trained)


@pytest.fixture(scope="session")
def new_user(secured_kafka: ApacheKafka, secured_cluster: Cluster, certificates: Path) -> Callable[[], User]:
    """Makes somebody without any rights on the cluster with rules."""
    return partial(User, secured_kafka, secured_cluster, certificates)


@pytest.fixture
def user(new_user: Callable[[], User]) -> User:
    """Somebody without any rights on the cluster with rules."""
    return new_user()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """A command in this process: what `tests.kafka.service.run` does, without the seconds that a start takes."""

    def call(*arguments: str, settings: Settings) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            for name, value in settings.items():
                patched.setenv(f"AESTREAM_{name.upper()}", value)
            capsys.readouterr()
            code = main(arguments)
            said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return call


def settings_for(
    cluster: Cluster, trained: Path, folder: Path, *inputs: str, partitions: int = 1, model: bool = True
) -> Settings:
    """Settings for a fresh group and fresh result topics."""
    store = folder / "models"
    if model and not store.exists():
        shutil.copytree(trained, store)
    return {
        "kafka__client": CLIENT,
        "kafka__bootstrap_servers": cluster.bootstrap,
        "kafka__group_id": cluster.name("group"),
        "kafka__session_timeout_ms": "6000",
        "topics__input": ",".join(inputs),
        "topics__scores": cluster.topic("scores", partitions=partitions),
        "topics__anomalies": cluster.topic("anomalies", partitions=partitions),
        "topics__dead_letters": cluster.topic("dead", partitions=partitions),
        "state__topic": cluster.topic("state", partitions=partitions, compacted=True),
        "model__store": str(store),
        "model__poll_interval": "500ms",
    }
