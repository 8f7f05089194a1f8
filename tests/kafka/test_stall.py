"""A worker that does not get on says where it hangs, and ends; one whose broker is away waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.demo.brokers import Broker
from tests.brokers.apache import pause, resume
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.conftest import CLIENT
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]


# kafka-python has a thread of its own in Python; librdkafka's cannot be seen, only who found out.
FRAMES = {"loop": "score", "client": "poll" if CLIENT == "kafka-python" else "_tidy"}
WHY = {
    "client": r"\d+ records of \S+/0 can be read, and none was scored for \d+ s",
    "loop": r"the loop hangs: last progress [\d.]+ s ago",
}


@pytest.mark.parametrize("where", WHY)
def test_a_stuck_worker_shows_its_stacks_fails_its_probe_and_ends(
    where: str, cluster: Cluster, make_settings: Make, tmp_path: Path
) -> None:
    # 1. A worker scores a first batch, then its client returns nothing more, or a batch never ends. 2. More records
    # come. Result: the log says which, with the stacks of all threads; /livez fails; exit 1. A next worker scores
    # the rest.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"worker__stall_timeout": "3s"}
    with Service(["worker"], settings=settings, folder=tmp_path, module=f"tests.kafka.stuck {where}") as worker:
        worker.ready()
        cluster.send(topic, records.values(10))
        worker.until("the first scores", lambda: cluster.count(settings["topics__scores"]) > 0)
        cluster.send(topic, records.values(10))
        if where == "loop":
            worker.until("the probe", lambda: worker.get("/livez")[0] == 503)
        assert worker.ended() == 1
        worker.logged(WHY[where] + "; the stacks of all threads:")
        assert "thread MainThread:" in worker.log
        assert f"in {FRAMES[where]}" in worker.log
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group = settings["kafka__group_id"]
        worker.until("all of it", lambda: cluster.committed(group, topic) == {0: 20})
        assert worker.stop() == 0


def test_an_outage_is_not_a_stall(cluster: Cluster, make_settings: Make, tmp_path: Path, pausable: Broker) -> None:
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"worker__stall_timeout": "2s"}
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        cluster.send(topic, records.values(500))
        pause(pausable)
        time.sleep(12)
        resume(pausable)
        group = settings["kafka__group_id"]
        worker.until("all of it", lambda: cluster.committed(group, topic) == {0: 500})
        assert worker.stop() == 0, worker.log
        assert "stacks" not in worker.log
