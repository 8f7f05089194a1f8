"""Episodes of hosts that fall silent are closed, and a host in two partitions is named."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aestream.transport.memory import MemoryBroker
from aestream.types import Partition
from tests.kafka.cluster import Cluster, score_of
from tests.kafka.service import BY_HOST, Service
from tests.unit.test_remembering import INCIDENT, START, STEP, broker, without

Command = Callable[..., subprocess.CompletedProcess[str]]

END = INCIDENT.stop + 2  # of web-2, soon after its incident
TTL = 25  # seconds: shorter than ten intervals, so that the wall clock need not run for long


def test_a_silent_host_is_told_by_the_records_of_others_and_by_the_wall_clock(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path, command: Command
) -> None:
    # 1. An incident on web-2, which then falls silent while the others go on. Result: its episode is closed at once.
    # 2. It returns with another incident, and then nothing comes at all. Result: it is closed after its time to live,
    # once, and is still remembered. 3. A host gets a second partition. Result: log, metric and `validate` say so.
    topic = cluster.topic(partitions=2)
    settings = (
        make_settings(tmp_path, topic, partitions=2, model=False)
        | BY_HOST
        | {
            "state__ttl": f"{TTL}s",
            "kafka__auto_offset_reset": "latest",
        }
    )
    begun = int(time.time()) - 1000 * STEP

    def send(stored: MemoryBroker) -> int:
        messages = [message for part in stored.log.values() for message in part]
        for message in messages:
            step = (json.loads(message.value or b"")["at"] - START) // STEP
            cluster.send(
                topic, [message.value], keys=[message.key], partition=0, timestamp=(begun + STEP * step) * 1000
            )
        return len(messages)

    for (_, partition), messages in broker(0, 600, partitions=1).log.items():
        cluster.send(topic, [m.value for m in messages], keys=[m.key for m in messages], partition=partition)
    made = command("train", settings=settings)
    assert made.returncode == 0, made.stderr
    assert "warning  keys" not in command("validate", settings=settings).stdout

    def told() -> list[dict[str, Any]]:
        return [score_of(record) for record in cluster.read(settings["topics__anomalies"])]

    def closings() -> list[dict[str, Any]]:
        return [a for a in told() if a["status"] == "silent" and a["entity"] == {"host": "web-2"}]

    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        count = send(without(broker(600, 100, partitions=1), "web-2", after=END))
        worker.until("scores", lambda: cluster.count(settings["topics__scores"]) >= count)
        worker.until("a closing", lambda: len(closings()) >= 1)
        (first,) = closings()
        opened = {a["episode"]["id"] for a in told() if a["entity"] == {"host": "web-2"}}
        assert first["episode"]["id"] in opened
        assert (first["key"], first["anomaly"]) == ("web-2", False)

        send(broker(700, END, partitions=1))
        worker.until("an incident", lambda: worker.metric("aestream_episodes_open") >= 1)
        worker.until("another closing", lambda: len(closings()) >= 2)
        time.sleep(3)  # rounds in which it could come again
        _, second = closings()
        assert second["episode"]["id"] != first["episode"]["id"]
        assert worker.metric("aestream_episodes_open") >= 1
        assert worker.metric("aestream_split_keys_total") == 0

        cluster.send(topic, [broker(800, 1).log[Partition("in", 1)][0].value], keys=[b"web-2"], partition=1)
        worker.until("a split key", lambda: worker.metric("aestream_split_keys_total") == 1)
        worker.logged("'web-2' over .*/0 and .*/1.*AESTREAM_FEATURES__KEY")
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log
    (warning,) = [line for line in command("validate", settings=settings).stdout.splitlines() if "  keys" in line]
    assert warning.startswith("warning  keys: 1 of 3 entities in the newest records")
