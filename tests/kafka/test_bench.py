"""`aestream bench` on a real broker: what it prints, that it leaves nothing behind, and what is not its own alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.kafka import records
from tests.kafka.cluster import Cluster, wait_for
from tests.kafka.secured import User
from tests.kafka.service import BY_HOST, UNMEASURED, Service

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]

FEW = ("--records", "30000")


@pytest.fixture
def filled(cluster: Cluster, make_settings: Make, tmp_path: Path) -> dict[str, str]:
    """Settings of an input with three partitions, and a model."""
    topic = cluster.topic(partitions=3)
    cluster.send(topic, records.values(6000))
    return make_settings(tmp_path, topic, partitions=3)


def left_behind(cluster: Cluster, name: str) -> list[str]:
    """Topics and groups of a bench."""
    groups = [group["group_id"] for group in cluster.admin.list_groups()]
    return [one for one in [*cluster.admin.list_topics(), *groups] if one.startswith(name)]


def places(cluster: Cluster, settings: dict[str, str]) -> list[Any]:
    """Where the user's own topics end, and what their group has committed."""
    topics = [name for key, name in settings.items() if key.startswith("topics__") or key == "state__topic"]
    return [*map(cluster.ends, topics), cluster.committed(settings["kafka__group_id"], settings["topics__input"])]


def own_name(said: str) -> str:
    """What the topics of a bench begin with, as it says itself."""
    found = re.search(r"making temporary topics (aestream-bench-\w+)-\* and the group \1 at \S+; all are deleted", said)
    assert found is not None, said
    return found[1]


def worker_of(bench: Service) -> psutil.Process:
    """The worker that a bench has started."""
    found = bench.until("a worker", lambda: psutil.Process(bench.process.pid).children())
    return found[0]  # type: ignore[index,no-any-return]


def test_a_bench_says_what_a_worker_takes_and_touches_nothing_of_the_user(
    cluster: Cluster, filled: dict[str, str], command: Command
) -> None:
    before = places(cluster, filled)
    done = command("bench", *FEW, "--rate", "1000000", "--json", settings=filled)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    worker, scoring = found["worker"], found["scoring"]
    assert found["input"] == [filled["topics__input"]]
    assert found["partitions"] == 3
    assert found["sample"]["records"] == 6000
    assert 0 < worker["records"] < 30_000
    assert 100 < worker["records_per_second"] < scoring["records_per_second_per_core"]
    assert 1 < worker["cpu_us_per_record"] < 10_000
    assert worker["memory_bytes"] > 20 * 2**20
    assert 0 < worker["first_score_seconds"] < 90
    for latency in found["latency"].values():
        assert 0 < latency["p50_ms"] <= latency["p99_ms"] < 10_000
        assert latency["records"] in {12, 300}
    asked = found["arrivals"][-1]
    assert asked["of"] == "asked"
    assert asked["workers"] == asked["partitions"] >= 1_000_000 / worker["records_per_second"]
    assert not asked["partitions_suffice"]
    assert {line["of"] for line in found["arrivals"]} == {"sample", "now", "asked"}
    assert places(cluster, filled) == before
    assert not left_behind(cluster, own_name(done.stderr))


def test_exactly_once_and_windows_are_measured_as_they_are_set(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    topic = cluster.topic(partitions=2)
    hosts = [json.dumps({**json.loads(value), "host": f"h{i % 20}", "at": 1_700_000_000 + i // 20}).encode()
             for i, value in enumerate(records.values(8000))]  # fmt: skip
    cluster.send(topic, hosts, keys=[b"h%d" % (i % 20) for i in range(8000)])
    settings = make_settings(tmp_path, topic, model=False) | BY_HOST
    settings |= {"features__window": "5", "delivery": "exactly_once", "kafka__group_instance_id": "me"}
    assert command("train", settings=settings).returncode == 0
    done = command("bench", *FEW, settings=settings)
    assert done.returncode == 0, done.stderr
    assert "exactly once" in done.stdout
    assert re.search(r"one worker +[\d,]+ records/s", done.stdout)
    assert re.search(r"latency of a record alone +p50 [\d,.]+ ms, p99 [\d,.]+ ms", done.stdout)
    assert re.search(r"during the bench +0 +1 +1 +suffice", done.stdout)
    assert not left_behind(cluster, own_name(done.stderr))


def test_ctrl_c_leaves_nothing_behind(cluster: Cluster, filled: dict[str, str], tmp_path: Path) -> None:
    with Service(["bench"], settings=filled, folder=tmp_path, variables=UNMEASURED) as bench:
        worker, name = worker_of(bench), own_name(bench.log)
        assert len(left_behind(cluster, name)) >= 5
        bench.signal(signal.SIGINT)
        bench.signal(signal.SIGINT)
        assert bench.ended() == 130
    assert bench.log.splitlines()[-1] == "stopping"
    assert not worker.is_running()
    wait_for("no topics", lambda: not left_behind(cluster, name), seconds=10)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_dies_ends_the_bench_and_leaves_nothing_behind(
    cluster: Cluster, filled: dict[str, str], tmp_path: Path, by: signal.Signals
) -> None:
    with Service(["bench", *FEW], settings=filled, folder=tmp_path) as bench:
        worker, name = worker_of(bench), own_name(bench.log)
        if by == signal.SIGTERM:
            wait_for("a member", lambda: name in left_behind(cluster, name))
        else:  # long after its first scores, while latency is measured
            wait_for("all scores", lambda: cluster.count(f"{name}-scores") > 30_050)
        os.kill(worker.pid, by)
        assert bench.ended() == 1
    assert "aestream bench: the worker ended with exit code" in bench.log
    wait_for("no topics", lambda: not left_behind(cluster, name), seconds=10)


def test_without_a_model_or_records_it_says_so_in_one_line_and_makes_nothing(
    cluster: Cluster, filled: dict[str, str], tmp_path: Path, command: Command
) -> None:
    empty = filled | {"topics__input": cluster.topic()}
    done = command("bench", settings=empty)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "aestream bench: the input holds no records to measure with\n"
    shutil.rmtree(tmp_path / "models")
    done = command("bench", settings=filled)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "aestream bench: there is no model 'default' yet to measure with: `aestream train` makes one\n"
    )


def test_who_may_not_create_topics_is_told_what_to_grant_and_can_measure_scoring(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(500))
    settings = secured_settings(tmp_path, topic) | user.settings
    user.grant(("topic", topic, "read"))
    done = command("bench", settings=settings)
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert re.search(
        r"topic aestream-bench-\w+-input cannot be created: grant this user CREATE on it; a bench needs", last
    )
    assert "READ and DELETE on groups" in last
    alone = command("bench", "--scoring-only", "--json", settings=settings)
    assert alone.returncode == 0, alone.stderr
    found = json.loads(alone.stdout)
    assert found["worker"] is None
    assert found["scoring"]["records"] == 500
    assert "workers" not in found["arrivals"][0]
    assert not left_behind(secured_cluster, own_name(done.stderr))


def test_what_the_guide_grants_is_enough_for_a_bench(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(3000))
    settings = secured_settings(tmp_path, topic) | user.over_tls("PLAIN", tmp_path) | {"delivery": "exactly_once"}
    user.grant(("topic", topic, "read"))
    rights = [("topic", one) for one in ("create", "read", "write", "delete")]
    rights += [("group", one) for one in ("read", "delete")] + [("transactional_id", "write")]
    user.grant_prefixed(*((kind, "aestream-bench-", operation) for kind, operation in rights))
    done = command("bench", *FEW, settings=settings)
    assert done.returncode == 0, done.stderr
    assert "not be deleted" not in done.stderr
    assert not left_behind(secured_cluster, own_name(done.stderr))
