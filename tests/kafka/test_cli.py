"""The commands around the services, against a real broker: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.registry.local import LocalRegistry
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.service import Service, run
from tests.stores import put

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_validate_names_what_is_missing_and_what_is_well(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    name = cluster.name("fresh")
    results = {f"topics__{kind}": f"{name}.{kind}" for kind in ("scores", "anomalies", "dead_letters")}
    settings = make_settings(tmp_path, name, model=False) | results
    missing = command("validate", settings=settings)
    assert missing.returncode == 1, missing.stdout + missing.stderr
    outcomes = {line.split(":")[0]: line for line in missing.stdout.splitlines()}
    assert outcomes[f"failed   topic {name}"].endswith("correct AESTREAM_TOPICS__INPUT")
    assert f"failed   topic {name}.scores" in outcomes
    assert "warning  model" in outcomes

    made = command("topics", "create", "--with-input", "--partitions", "3", settings=settings)
    assert made.returncode == 0, made.stderr
    assert sum(end == 0 for end in cluster.ends(f"{name}.scores").values()) == 3
    again = command("topics", "create", "--with-input", settings=settings)
    assert (again.returncode, again.stdout) == (0, "nothing to create: all topics exist and have enough partitions\n")

    records.train(tmp_path / "models")
    empty = command("validate", settings=settings)
    assert "warning  records: the input topic has no records" in empty.stdout
    cluster.send(name, records.values(600))
    well = command("validate", settings=settings)
    assert well.returncode == 0, well.stdout + well.stderr
    assert {line.split()[0] for line in well.stdout.splitlines()} == {"ok"}
    wrong = command("validate", settings=settings | {"http__port": "x"})
    assert wrong.returncode == 2
    assert "AESTREAM_HTTP__PORT" in wrong.stderr


@pytest.mark.parametrize(("named", "words"), [("{}", "topic {} does not exist"), ("^{}", "no topic matches ^{}")])
def test_result_topics_are_not_made_before_the_input_says_how_many_partitions(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command, named: str, words: str
) -> None:
    name = cluster.name("later")
    results = {f"topics__{kind}": f"results.{name}.{kind}" for kind in ("scores", "anomalies", "dead_letters")}
    settings = make_settings(tmp_path, named.format(name), model=False) | results
    refused = command("topics", "create", settings=settings)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert words.format(name) in line
    assert "--partitions" in line
    assert not set(results.values()) & set(cluster.admin.list_topics())
    given = command("topics", "create", "--partitions", "1", settings=settings)
    assert given.returncode == 0, given.stderr

    cluster.admin.create_topics({name: {"num_partitions": 4, "replication_factor": 1}}, wait_for_metadata=True)
    differ = command("validate", settings=settings)
    warned = [line for line in differ.stdout.splitlines() if line.startswith("warning  topic")]
    assert len(warned) == 3, differ.stdout
    assert all("1 partition where the input has 4" in line and "topics create" in line for line in warned)
    grown = command("topics", "create", settings=settings)
    assert grown.returncode == 0, grown.stderr
    assert f"{results['topics__scores']} now has 4 partitions, up from 1" in grown.stdout
    assert {len(cluster.ends(topic)) for topic in results.values()} == {4}
    assert not [line for line in command("validate", settings=settings).stdout.splitlines() if "warning  topic" in line]


def test_an_input_that_is_made_as_well_has_the_partitions_that_the_broker_gives(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    name = cluster.name("new")
    results = {f"topics__{kind}": f"{name}.{kind}" for kind in ("scores", "anomalies", "dead_letters")}
    made = command("topics", "create", "--with-input", settings=make_settings(tmp_path, name, model=False) | results)
    assert made.returncode == 0, made.stderr
    assert len({len(cluster.ends(topic)) for topic in (name, *results.values())}) == 1


def test_more_replicas_than_brokers_are_refused_in_the_brokers_words(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    settings = make_settings(tmp_path, cluster.topic(), model=False) | {"topics__scores": cluster.name("scores")}
    refused = command("topics", "create", "--replication", "9", settings=settings)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert f"topic {settings['topics__scores']} cannot be created: " in line
    assert "9" in line
    assert "Request" not in line


def test_a_broker_that_is_not_there_is_one_line(make_settings: Make, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "x") | {
        "kafka__bootstrap_servers": "127.0.0.1:1",
        "kafka__bootstrap_timeout_ms": "2000",
    }
    worker = run("worker", settings=settings | {"http__port": "0"}, folder=tmp_path)
    assert worker.returncode == 1
    (line,) = [line for line in worker.stderr.splitlines() if '"level": "info"' not in line]
    assert re.match(r"aestream worker: .*127\.0\.0\.1:1: connection refused.*BOOTSTRAP_SERVERS", line)


def test_models_are_listed_shown_and_rolled_back(make_settings: Make, tmp_path: Path, command: Command) -> None:
    settings = make_settings(tmp_path, "x")
    store = LocalRegistry(tmp_path / "models", "default")
    first = store.current()
    second = put(store)
    listed = command("model", "list", settings=settings)
    assert listed.returncode == 0, listed.stderr
    (current,) = [line for line in listed.stdout.splitlines() if "current" in line]
    assert second in current
    assert str(first) in listed.stdout
    shown = command("model", "show", str(first), "--json", settings=settings)
    assert json.loads(shown.stdout)["schema"]["names"][0] == "cpu.user"
    assert str(first) in command("model", "show", str(first), settings=settings).stdout
    back = command("model", "rollback", settings=settings)
    assert back.returncode == 0
    assert store.current() == first
    once_more = command("model", "rollback", settings=settings)
    assert once_more.returncode == 1
    assert once_more.stderr.startswith("aestream model: ")


def test_tail_shows_the_anomalies(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "x")
    score = {
        "score": 3.5, "anomaly": True, "error": 7.0, "threshold": 2.0, "p_value": 0.001, "status": "scored",
        "model": "default@1", "source": {"topic": "in", "partition": 1, "offset": 2, "timestamp": 0}, "key": "k",
        "features": [{"name": "cpu", "observed": 9.0, "expected": 1.0, "share": 0.75}],
    }  # fmt: skip
    cluster.send(settings["topics__anomalies"], [json.dumps(score).encode(), b"\xff{", json.dumps(score).encode()])
    out = tmp_path / "out.txt"
    with out.open("w") as file, Service(["tail"], settings=settings, folder=tmp_path, output=file) as tail:
        tail.until("three lines", lambda: len(out.read_text().splitlines()) >= 3)
    assert "score 3.50 in/1/2 key k: cpu 9, expected 1 (75%)" in out.read_text()


def test_init_looks_at_a_topic(cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command) -> None:
    topic = cluster.topic("fresh", partitions=2)
    cluster.send(topic, records.values(300))
    settings = make_settings(tmp_path, "unused", model=False)
    made = command("init", "--topic", topic, "--out", "new.env", settings=settings)
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "new.env").read_text()
    assert f"\nAESTREAM_KAFKA__BOOTSTRAP_SERVERS={cluster.bootstrap}\n" in text
    assert f"\nAESTREAM_TOPICS__INPUT={topic}\n" in text
    assert "\nAESTREAM_FEATURES__INCLUDE=cpu.user,cpu.system,queue,rate,temperature\n" in text
    assert "#   host  constant: always 'h1'" in text
