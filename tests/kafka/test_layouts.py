"""Messages that wrap their records, from training to the committed offset on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.conftest import Command
from tests.kafka.service import Service


def row(seed: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(records.values(1, seed=seed)[0])
    return found


def message(*rows: Any, host: str = "a") -> bytes:
    return json.dumps({"sent_by": host, "items": list(rows)}).encode()


def change(op: str, after: Any, seed: int = 0) -> bytes:
    payload = {"op": op, "before": row(seed) if op == "d" else None, "after": after, "source": {"table": "machines"}}
    return json.dumps({"schema": {"type": "struct"}, "payload": payload}).encode()


def test_arrays_are_learnt_from_and_their_elements_scored(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], command: Command, tmp_path: Path
) -> None:
    topic = cluster.topic("arrays", partitions=2)
    settings = make_settings(tmp_path, topic, partitions=2, model=False)
    settings |= {"records__unpack": "items", "records__where": "sent_by=a"}
    for partition in range(2):
        values = [message(*(row(3000 * partition + 3 * i + j) for j in range(3))) for i in range(200)]
        cluster.send(topic, values, partition=partition)
    cluster.send(topic, [message(*(row(i) for i in range(50)), host="b")], partition=0)
    trained = command("train", settings=settings)
    assert trained.returncode == 0, trained.stderr
    strange = json.loads(records.anomaly())
    odd = [
        message(row(1), strange),
        message(row(2), 7, {**row(3), "rate": "fast"}, strange),
        message(row(4), host="b"),
        message(),
        None,
    ]
    cluster.send(topic, odd, partition=1)
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: cluster.committed(group, topic) == {0: 201, 1: 205})
        assert worker.metric('aestream_records_passed_over_total{reason="filtered"}') == 51
        assert worker.metric('aestream_records_passed_over_total{reason="no_records"}') == 1
        assert worker.metric("aestream_records_scored_total") == 1204
        assert worker.stop() == 0
    scores = list(map(score_of, cluster.read(settings["topics__scores"])))
    places = [(*place_of(score)[1:], score["source"]["element"]) for score in scores]
    whole = [(partition, offset, element) for partition in range(2) for offset in range(200) for element in range(3)]
    assert places == [*whole, (1, 200, 0), (1, 200, 1), (1, 201, 0), (1, 201, 3)]
    anomalies = cluster.read(settings["topics__anomalies"])
    ids = [dict(record.headers)["ce_id"].decode() for record in anomalies]
    assert {f"{topic}/1/200/1", f"{topic}/1/201/3"} <= set(ids)
    assert len(ids) == len(set(ids)) < 60
    first, second = cluster.read(settings["topics__dead_letters"])
    assert first.value == odd[1]
    assert dict(first.headers)["aestream.dlq.error"] == (
        b"element 1: a JSON object is expected, not a number; element 2: rate is text, not a number"
    )
    assert dict(second.headers)["aestream.dlq.error_type"] == b"empty"


def test_a_table_is_learnt_from_and_its_deletes_are_passed_over(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], command: Command, tmp_path: Path
) -> None:
    topic = cluster.topic("table")
    settings = make_settings(tmp_path, topic, model=False)
    cluster.send(topic, [change("cur"[i % 3], row(i)) for i in range(600)])
    refused = command("train", settings=settings)
    assert refused.returncode == 1
    assert "a change event of Debezium: set AESTREAM_RECORDS__LAYOUT=debezium" in refused.stderr
    settings["records__layout"] = "debezium"
    trained = command("train", settings=settings)
    assert trained.returncode == 0, trained.stderr
    cluster.send(topic, [change("d", None, 1), None, change("u", json.loads(records.anomaly()))], keys=[b"1"] * 3)
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: cluster.committed(group, topic) == {0: 603})
        assert worker.metric('aestream_records_passed_over_total{reason="deleted"}') == 1
        assert worker.metric('aestream_records_passed_over_total{reason="tombstone"}') == 1
        assert worker.stop() == 0
    scores = list(map(score_of, cluster.read(settings["topics__scores"])))
    assert [place_of(score)[2] for score in scores] == [*range(600), 602]
    assert not any("element" in score["source"] for score in scores)
    assert place_of(score_of(cluster.read(settings["topics__anomalies"])[-1]))[2] == 602
    assert cluster.count(settings["topics__dead_letters"]) == 0
