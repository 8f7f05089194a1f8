"""`aestream backtest` on a topic: the records that a worker would see, with the stored model."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.kafka import records
from tests.kafka.cluster import Cluster

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
NOON = 1_700_000_000


def labelled(value: bytes, host: str) -> bytes:
    found = json.loads(value)
    return json.dumps({**found, "host": host, "wrong": found["rate"] < -5000}).encode()


def test_a_topic_is_judged_by_entity_and_time(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    topic = cluster.topic(partitions=2)
    for partition, host in enumerate(("web-1", "web-2")):
        values = records.values(300, seed=partition)
        if host == "web-2":
            values[100] = records.anomaly()
        sent = [b"{", *(labelled(value, host) for value in values)]
        for place, value in enumerate(sent):
            stamp = (NOON + 60 * place) * 1000
            cluster.send(topic, [value], keys=[host.encode()], partition=partition, timestamp=stamp)
    settings = make_settings(tmp_path, topic)
    done = command("backtest", "--label", "wrong", "-o", "by-key.csv", settings=settings)
    assert done.returncode == 0, done.stderr
    assert f"topic {topic}, 2023-11-14 22:14 to 2023-11-15 03:13 UTC" in done.stdout
    figures = {" ".join(line.split()[:2]): line.split()[2:] for line in done.stdout.splitlines()}
    assert figures["unusable records"] == ["2"]
    assert figures["incidents found"] == ["1", "of", "1"]

    by_field = settings | {"features__key": "host", "columns": "200"}
    again = command("backtest", topic, "--from", str(NOON + 60 * 100), "-o", "by-field.csv", settings=by_field)
    assert again.returncode == 0, again.stderr
    assert "records" in again.stdout
    for name, count in (("by-key.csv", 600), ("by-field.csv", 402)):
        with (tmp_path / name).open(newline="") as file:
            (worst, *_) = sorted(csv.DictReader(file), key=lambda row: -float(row["worst"]))
        assert (worst["entity"], worst["worst_at"]) == ("web-2", "2023-11-14T23:54:20Z")
        assert "rate -9000" in worst["features"]
        assert f" {count} " in (done if count == 600 else again).stdout


def test_a_topic_that_is_not_there_is_one_line(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    settings = make_settings(tmp_path, cluster.name("unused"))
    refused = command("backtest", "no-such-topic", settings=settings)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "topic no-such-topic does not exist" in line
