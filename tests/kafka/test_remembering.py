"""A worker that remembers the hosts of a topic: episodes, a new model in between, a restart, and a kill."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kafka.cluster import Cluster, score_of
from tests.kafka.service import BY_HOST, Service
from tests.unit.test_remembering import HOSTS, broker

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_hosts_are_remembered_through_a_new_model_a_restart_and_a_kill(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path, command: Command
) -> None:
    # 1. Three hosts, by host on two partitions, and `aestream train`. 2. A worker, and an incident on one host.
    # Result: it is one episode, opened and closed. 3. A new model. Result: nobody warms up again.
    # 4. A restart. 5. A kill. Result: nobody warms up again, and nothing is lost.
    topic = cluster.topic(partitions=2)
    settings = make_settings(tmp_path, topic, partitions=2, model=False) | BY_HOST
    sent = 0

    def send(first: int, steps: int) -> None:
        nonlocal sent
        for (_, partition), messages in broker(first, steps).log.items():
            cluster.send(topic, [m.value for m in messages], keys=[m.key for m in messages], partition=partition)
            sent += len(messages)

    def train() -> None:
        made = command("train", settings=settings)
        assert made.returncode == 0, made.stderr
        assert "10 records of an entity are judged together" in made.stdout + made.stderr

    def scores(worker: Service, count: int) -> list[dict[str, Any]]:
        worker.until("scores", lambda: cluster.count(settings["topics__scores"]) >= count)
        return sorted(
            map(score_of, cluster.read(settings["topics__scores"])),
            key=lambda s: (s["key"], json.dumps(s["source"]["offset"]).zfill(9)),
        )

    send(0, 600)
    train()
    past = sent
    with Service(["worker"], settings=settings | {"kafka__auto_offset_reset": "latest"}, folder=tmp_path) as worker:
        worker.ready()
        send(600, 200)
        assert {s["status"] for s in scores(worker, sent - past)} == {"scored"}  # the last records were seen again
        worker.until("entities", lambda: worker.metric("aestream_entities") == len(HOSTS))
        assert worker.metric("aestream_state_bytes") > 0

        told = [score_of(record) for record in cluster.read(settings["topics__anomalies"])]
        episodes = {anomaly["episode"]["id"]: anomaly for anomaly in told if anomaly["key"] == "web-2"}
        assert episodes
        assert "closed" in [anomaly["episode"]["state"] for anomaly in episodes.values()]
        assert all(
            anomaly["entity"] == {"host": "web-2"}
            for anomaly in told
            if anomaly["key"] == "web-2" and anomaly["anomaly"]
        )

        train()
        worker.signal(signal.SIGHUP)
        worker.logged("3 entities go on with model")
        send(800, 50)
        found = scores(worker, sent - past)
        assert len(found) == sent - past
        versions = {s["model"] for s in found}
        assert len(versions) == 2
        later = [s for s in found if s["model"] == max(versions)]
        assert {s["status"] for s in later} == {"scored"}
        assert worker.stop() == 0, worker.log

    for seen_again, end in ((0, Service.kill), (60, Service.stop)):
        with Service(["worker"], settings=settings, folder=tmp_path) as worker:
            worker.ready()
            worker.logged(f"3 entities are remembered, after .* s and {seen_again} records that were seen again")
            send(850 + seen_again // 3, 20)
            found = scores(worker, sent - past)
            end(worker)
    assert {s["status"] for s in found} == {"scored"}
    places = [(s["source"]["partition"], s["source"]["offset"]) for s in found]
    assert len(places) == len(set(places)) == sent - past
