"""Hosts that move for good: the worker's commits say so, and the trainer trains again, once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.errors import TransportError
from aestream.registry.local import LocalRegistry
from aestream.transport.kafka_python.topics import KafkaTopics
from aestream.types import Partition, Standing
from tests.kafka.cluster import Cluster
from tests.kafka.secured import User
from tests.kafka.service import BY_HOST, Service
from tests.unit.test_remembering import HOSTS, broker

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_level_that_moves_for_good_is_trained_for_without_a_schedule(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    # 1. Three hosts and a model. 2. A worker, and one of the hosts moves for good. Result: its commits say that.
    # 3. A trainer with its schedule off. Result: it trains. 4. The worker loads the new model, and the host goes on.
    # Result: nothing has moved any more. 5. The trainer starts anew. Result: it has no reason to train.
    topic = cluster.topic(partitions=2)
    settings = (
        make_settings(tmp_path, topic, partitions=2, model=False)
        | BY_HOST
        | {
            "trainer__schedule": "off",
        }
    )
    topics = KafkaTopics({"bootstrap_servers": [cluster.bootstrap]})

    def send(first: int, steps: int, *, moved: bool = False) -> None:
        for (_, partition), messages in broker(first, steps, moved=moved).log.items():
            cluster.send(topic, [m.value for m in messages], keys=[m.key for m in messages], partition=partition)

    def said() -> Standing:
        """Of both partitions together."""
        found = topics.standings(settings["kafka__group_id"]).values()
        versions = {version for standing in found for version in standing.versions}
        return Standing(tuple(versions), sum(s.entities for s in found), sum(s.moved for s in found))

    send(0, 600)
    assert command("train", settings=settings).returncode == 0
    store = LocalRegistry(tmp_path / "models", "default")
    first = store.current()
    assert first is not None
    with Service(["worker"], settings=settings | {"kafka__auto_offset_reset": "latest"}, folder=tmp_path) as worker:
        worker.ready()
        send(600, 50)
        send(650, 500, moved=True)
        step = 1150

        def go_on(what: Standing) -> bool:
            nonlocal step
            if said() == what:
                return True
            send(step, 5, moved=True)
            step += 5
            return False

        worker.until("the moved host", lambda: go_on(Standing((first,), len(HOSTS), 1)))
        with Service(["trainer"], settings=settings, folder=tmp_path) as trainer:
            trainer.logged("33% of 3 entities have moved: training again")
            second = trainer.logged(r"model default@(\w+) trained on")[1]
            assert trainer.stop() == 0, trainer.log
        (version,) = (version for version in store.versions() if version.name == second)
        assert version.manifest.metadata["reason"] == "33% of 3 entities have moved"
        worker.until("the new model", lambda: go_on(Standing((second,), len(HOSTS), 0)))
        with Service(["trainer"], settings=settings, folder=tmp_path) as trainer:
            trainer.ready()
            trainer.logged("next training only when asked for")
            assert trainer.stop() == 0, trainer.log
        assert worker.stop() == 0, worker.log
    assert store.current() == second


def test_to_describe_the_group_is_enough(secured_settings: Make, user: User, tmp_path: Path) -> None:
    settings = secured_settings(tmp_path, "in") | user.settings
    group = settings["kafka__group_id"]
    names = ("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    connection = {name: settings[f"kafka__{name}"] for name in names}
    topics = KafkaTopics({"bootstrap_servers": [user.settings["kafka__bootstrap_servers"]], **connection})
    with pytest.raises(TransportError, match=f"group {group} is denied to this user: grant DESCRIBE on it"):
        topics.standings(group)
    user.grant(("group", group, "describe"))
    found: dict[Partition, Standing] = dict(topics.standings(group))
    assert found == {}
