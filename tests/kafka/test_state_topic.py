"""The topic that keeps what is remembered of entities fails, or its broker does: numbered scenarios with results."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.admin import ConfigResource

from aestream.demo.brokers import Broker
from tests.brokers.apache import pause, resume
from tests.kafka.cluster import Cluster
from tests.kafka.service import BY_HOST, Service
from tests.unit.test_remembering import broker

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
PAST = 600


@pytest.fixture
def settings(cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command) -> dict[str, str]:
    """A topic of three hosts, and a model that remembers them."""
    topic = cluster.topic(partitions=2)
    made = (
        make_settings(tmp_path, topic, partitions=2, model=False)
        | BY_HOST
        | {
            "worker__drain_timeout": "3s",
        }
    )
    send(cluster, made, 0, PAST)
    trained = command("train", settings=made)
    assert trained.returncode == 0, trained.stderr
    return made


def send(cluster: Cluster, settings: dict[str, str], first: int, steps: int) -> None:
    for (_, partition), messages in broker(first, steps).log.items():
        values, keys = [m.value for m in messages], [m.key for m in messages]
        cluster.send(settings["topics__input"], values, keys=keys, partition=partition)


def scored(cluster: Cluster, settings: dict[str, str], count: int) -> Callable[[], bool]:
    return lambda: cluster.count(settings["topics__scores"]) >= count


@pytest.mark.parametrize("harm", ["deleted", "too small"])
def test_a_topic_that_fails_while_it_is_used_is_told_of_and_done_without(
    harm: str, cluster: Cluster, settings: dict[str, str], tmp_path: Path
) -> None:
    # 1. A worker keeps its entities. 2. The topic is deleted, or accepts less. 3. More records.
    # Result: one line; all is scored; exit 0. 4. A second worker. Result: it says so, or not, and works.
    topic = settings["state__topic"]
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("scores", scored(cluster, settings, 3 * PAST))
        worker.until("entries", lambda: cluster.count(topic) > 2)
        if harm == "deleted":
            cluster.admin.delete_topics([topic])
        else:
            cluster.admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": "200"})])
        send(cluster, settings, PAST, 100)
        worker.until("scores", scored(cluster, settings, 3 * PAST + 300))
        worker.logged("what is remembered of entities stays in memory, and a restart begins anew: .*")
        send(cluster, settings, PAST + 100, 10)
        worker.until("scores", scored(cluster, settings, 3 * PAST + 330))
        assert worker.log.count("stays in memory") == 1
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        send(cluster, settings, PAST + 110, 10)
        worker.until("scores", scored(cluster, settings, 3 * PAST + 360))
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log


def test_a_stop_does_not_wait_long_for_a_broker_that_is_away(
    cluster: Cluster, settings: dict[str, str], tmp_path: Path, pausable: Broker
) -> None:
    # 1. A worker has entities to write. 2. The broker stands still. 3. SIGTERM. Result: it ends within a minute.
    # 4. A second worker. Result: nothing is lost.
    group, topic = settings["kafka__group_id"], settings["topics__input"]
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("commits", lambda: sum(cluster.committed(group, topic).values()) == 3 * PAST)
        pause(pausable)
        try:
            began = time.monotonic()
            worker.stop()
            took = time.monotonic() - began
        finally:
            resume(pausable)
        assert took < 55
        assert "Traceback" not in worker.log
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.logged("3 entities are remembered")
        assert worker.stop() == 0, worker.log


def test_a_broker_that_stands_still_during_a_take_over_is_waited_for(
    cluster: Cluster, settings: dict[str, str], tmp_path: Path, pausable: Broker
) -> None:
    # 1. A worker that ended in order, and one that is killed. 2. The next one joins; the broker stands still at once.
    # 3. It comes back. Result: live all the time; the entities go on. 4. Again, and SIGTERM. Result: it ends in time.
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("scores", scored(cluster, settings, 3 * PAST))
        assert worker.stop() == 0, worker.log
    for stopping in (False, True):
        with Service(["worker"], settings=settings, folder=tmp_path) as worker:
            worker.until("an assignment", lambda: "what is remembered" in worker.get("/readyz")[1], seconds=60)
            pause(pausable)
            try:
                if stopping:
                    began = time.monotonic()
                    worker.stop()
                    assert time.monotonic() - began < 55
                else:
                    for _ in range(40):
                        assert worker.get("/livez")[0] == 200
                        time.sleep(1.0)
            finally:
                resume(pausable)
            assert "Traceback" not in worker.log
            if not stopping:
                worker.logged("3 entities are remembered, after .* s and 0 records")
                assert worker.stop() == 0, worker.log
