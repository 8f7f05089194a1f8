"""Topics that take less than what is to be written: it is cut, or becomes a dead letter, and the worker goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka.admin import ConfigResource

from tests.kafka import records
from tests.kafka.cluster import Cluster, score_of
from tests.kafka.secured import User
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
LARGE = b"x" * 100_000


def limit(cluster: Cluster, topic: str, most: int) -> None:
    """Set `max.message.bytes`."""
    cluster.admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": str(most)})])


def letters(cluster: Cluster, settings: dict[str, str]) -> dict[int, Any]:
    """The dead letters by the offset of their record."""
    found = cluster.read(settings["topics__dead_letters"])
    return {int(dict(letter.headers)["aestream.dlq.offset"]): letter for letter in found}


def scored(cluster: Cluster, settings: dict[str, str]) -> list[int]:
    """The offsets that have a score; each counts once, for a batch that was refused is sent again as a whole."""
    return sorted({score_of(record)["source"]["offset"] for record in cluster.read(settings["topics__scores"])})


def test_what_a_topic_does_not_take_is_cut_or_a_dead_letter(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    # 1. Dead letters and anomalies take little, and `validate` says so. 2. A large bad record, an anomaly and a normal
    # record with large keys. 3. The limits fall while the worker runs. Result: the same process goes on; what does not
    # fit is cut and says so, or is a dead letter with its reason, and everything is committed.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic)
    group, dead = settings["kafka__group_id"], settings["topics__dead_letters"]
    limit(cluster, dead, 20_000)
    limit(cluster, settings["topics__anomalies"], 3000)
    said = command("validate", settings=settings)
    assert said.returncode == 0, said.stdout
    assert f"warning  topic {dead}: accepts 20000 bytes and the input 1048588" in said.stdout
    assert f"warning  topic {settings['topics__anomalies']}: accepts 3000 bytes" in said.stdout
    cluster.send(topic, [LARGE, records.values(1)[0], records.anomaly()], keys=[b"k", b"n" * 3000, b"a" * 3000])
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("all committed", lambda: cluster.committed(group, topic) == {0: 3})
        assert scored(cluster, settings) == [1]
        found = letters(cluster, settings)
        assert sorted(found) == [0, 2]
        assert dict(found[0].headers)["aestream.dlq.truncated"] == b"100000"
        assert 15_000 < len(found[0].value) < 20_000
        assert found[0].key == b"k"
        assert dict(found[2].headers)["aestream.dlq.error_type"] == b"too_large"
        assert settings["topics__anomalies"] in dict(found[2].headers)["aestream.dlq.error"].decode()
        assert found[2].value == records.anomaly()
        assert "warning" not in worker.log

        limit(cluster, dead, 5000)
        limit(cluster, settings["topics__scores"], 4000)
        cluster.send(topic, [LARGE, *records.values(50)], keys=[b"k", b"n" * 6000, *[b"k"] * 49])
        worker.until("all committed", lambda: cluster.committed(group, topic) == {0: 54})
        found = letters(cluster, settings)
        assert sorted(found) == [0, 2, 3, 4]
        assert dict(found[3].headers)["aestream.dlq.truncated"] == b"100000"
        assert len(found[3].value) < 5000
        assert settings["topics__scores"] in dict(found[4].headers)["aestream.dlq.error"].decode()
        assert scored(cluster, settings) == [1, *range(5, 54)]
        assert worker.metric('aestream_dead_letters_total{reason="too_large"}') == 2
        assert worker.stop() == 0
        assert "refuses a message of" in worker.log
        assert "None" not in [line for line in worker.log.splitlines() if "aestream" in line]


def test_limits_that_may_not_be_asked_for_are_learnt(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path
) -> None:
    topic = secured_cluster.topic()
    settings = secured_settings(tmp_path, topic) | user.settings
    group = settings["kafka__group_id"]
    limit(secured_cluster, settings["topics__dead_letters"], 20_000)
    limit(secured_cluster, settings["topics__scores"], 4000)
    user.grant_all("worker", settings)
    secured_cluster.send(topic, [LARGE, *records.values(50)], keys=[b"k", b"n" * 6000, *[b"k"] * 49])
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("all committed", lambda: secured_cluster.committed(group, topic) == {0: 51})
        assert worker.stop() == 0
    found = letters(secured_cluster, settings)
    assert sorted(found) == [0, 1]
    assert dict(found[0].headers)["aestream.dlq.truncated"] == b"100000"
    assert scored(secured_cluster, settings) == list(range(2, 51))
