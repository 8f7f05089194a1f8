"""How a worker ends: each test is a numbered scenario with its result."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.errors import SecurityDisabledError

from aestream.demo.brokers import Broker
from tests.brokers.apache import pause, resume
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def places(cluster: Cluster, settings: dict[str, str]) -> list[tuple[str, int, int]]:
    return [place_of(score_of(record)) for record in cluster.read(settings["topics__scores"])]


def publishing(cluster: Cluster, settings: dict[str, str], above: int = 0) -> Callable[[], bool]:
    return lambda: cluster.count(settings["topics__scores"]) > above


def test_sigterm_mid_batch_finishes_commits_and_leaves(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    # 1. 12,000 records wait, far more than one batch. 2. The first scores appear. 3. SIGTERM.
    # Result: exit 0; what is published is committed, no more and no less; the group is empty at once.
    # 4. A second worker. Result: every record has exactly one score, in order.
    topic = cluster.topic(partitions=2)
    settings = make_settings(tmp_path, topic, partitions=2) | {"worker__max_batch_records": "250"}
    for partition in range(2):
        cluster.send(topic, records.values(6_000), partition=partition)
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("scores", publishing(cluster, settings))
        assert worker.stop() == 0, worker.log
        assert "stopped" in worker.log
        assert "Traceback" not in worker.log
    assert cluster.members(settings["kafka__group_id"]) == 0
    committed = cluster.committed(settings["kafka__group_id"], topic)
    assert sum(committed.values()) == cluster.count(settings["topics__scores"])
    assert 0 < sum(committed.values()) < 12_000
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("all scores", publishing(cluster, settings, 11_999))
        assert worker.stop() == 0, worker.log
    assert places(cluster, settings) == [(topic, p, offset) for p in range(2) for offset in range(6_000)]


def test_a_stop_does_not_wait_for_a_broker_that_never_answered(make_settings: Make, tmp_path: Path) -> None:
    # 1. Something listens where the broker should be, and says nothing. 2. A worker with a model tries to reach it, for
    # half an hour if need be. 3. SIGTERM. Result: exit 0, without a word of trouble.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = make_settings(tmp_path, "x") | {
            "kafka__bootstrap_servers": f"127.0.0.1:{silent.getsockname()[1]}",
            "kafka__bootstrap_timeout_ms": "1800000",
        }
        with Service(["worker"], settings=settings, folder=tmp_path) as worker:
            worker.until("its first contact", lambda: "connection to Kafka" in worker.get("/readyz")[1])
            assert worker.stop() == 0, worker.log
            assert "Traceback" not in worker.log


def test_a_second_signal_ends_it_on_the_spot(
    cluster: Cluster, make_settings: Make, tmp_path: Path, pausable: Broker
) -> None:
    # 1. A worker with work in hand and a broker that does not answer. 2. SIGINT: it waits for the batch in hand.
    # 3. SIGINT again. Result: it dies of the signal, and a successor scores everything.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"worker__max_batch_records": "500"}
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        cluster.send(topic, records.values(10_000))
        worker.until("scores", publishing(cluster, settings))
        pause(pausable)
        try:
            worker.signal(signal.SIGINT)
            time.sleep(1.0)  # the time itself is what is tested: it waits
            assert worker.process.poll() is None
            worker.signal(signal.SIGINT)
            assert worker.ended() == -signal.SIGINT
        finally:
            resume(pausable)
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        everything = {(topic, 0, offset) for offset in range(10_000)}
        worker.until("all scores", lambda: set(places(cluster, settings)) == everything)
        assert worker.stop() == 0, worker.log


@pytest.mark.parametrize("command", ["worker", "trainer"])
def test_a_reload_during_the_start_is_kept_for_later(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: str
) -> None:
    # 1. A service that is still loading. 2. SIGHUP. Result: it lives, and reloads once it has started. 3. SIGTERM.
    # Result: exit 0.
    topic = cluster.topic()
    cluster.send(topic, records.values(1000))
    settings = make_settings(tmp_path, topic) | {"trainer__schedule": "off"}
    done = {
        "worker": "is the current model and already in use|scoring with model",
        "trainer": "training now because a reload asked",
    }
    with Service([command], settings=settings, folder=tmp_path) as service:
        maps = Path(f"/proc/{service.process.pid}/maps")
        service.until("a library", lambda: "safetensors" in maps.read_text())
        service.signal(signal.SIGHUP)
        assert "metrics at" not in service.log
        service.logged(done[command])
        assert service.stop() == 0, service.log


def test_too_many_dead_letters_halt_it_before_the_commit(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    # 1. Good records, scored and committed. 2. A broken producer: 60 bad ones in a row, where 50 are the limit.
    # Result: exit 1, one line that names the setting; the batch that goes past the limit is not committed, and none of
    # its dead letters is published. A slow producer may have had a batch before with a few of the 60.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"dead_letters__max_consecutive_count": "50"}
    group = settings["kafka__group_id"]
    cluster.send(topic, [*records.values(300), *[b"{"] * 49, *records.values(1)])
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("the good ones committed", lambda: cluster.committed(group, topic) == {0: 350})
        cluster.send(topic, [b"[]"] * 60)
        assert worker.ended() == 1
        line = worker.log.strip().splitlines()[-1]
    assert "AESTREAM_DEAD_LETTERS__MAX_CONSECUTIVE_COUNT" in line
    assert "Traceback" not in worker.log
    before = cluster.committed(group, topic)[0] - 350
    assert 0 <= before < 50
    assert cluster.count(settings["topics__dead_letters"]) == 49 + before
    assert cluster.members(group) == 0


def test_a_renamed_field_is_named_and_training_mends_it(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    # 1. Good records, then a producer that has renamed a field. Result: exit 1, and the one line says what to do.
    # 2. What it says: `aestream train`, and the worker again. Result: it goes on to the end.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"dead_letters__max_consecutive_count": "50"}
    renamed = [value.replace(b'"temperature"', b'"temp"') for value in records.values(60)]
    cluster.send(topic, [*records.values(1000), *renamed[:48], b"{", renamed[0], *renamed])
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        assert worker.ended() == 1
        line = worker.log.strip().splitlines()[-1]
    assert " of them for the reason missing_feature (temperature is missing): was it renamed" in line
    assert "`aestream train`" in line
    done = command("train", settings=settings)
    assert done.returncode == 0, done.stderr
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("the end", lambda: cluster.committed(settings["kafka__group_id"], topic) == {0: 1110})
        assert worker.stop() == 0, worker.log
    assert places(cluster, settings)[-61:] == [(topic, 0, offset) for offset in range(1049, 1110)]
    assert 1 <= cluster.count(settings["topics__dead_letters"]) < 50


def test_a_missing_topic_is_one_line(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    # 1. No input topic. 2. No scores topic. 3. An input topic that may not be read. Result: exit 1, a line says which.
    topic, secret = cluster.topic(), cluster.topic()
    no_input = make_settings(tmp_path, "no-such-input")
    no_scores = make_settings(tmp_path, topic) | {"topics__scores": "no-such-scores"}
    no_right = make_settings(tmp_path, secret)
    cases = [
        (no_input, "topic no-such-input does not exist: create it, or correct AESTREAM_TOPICS__INPUT"),
        (no_scores, "topic no-such-scores does not exist: create it with `aestream topics create`"),
    ]
    cluster.send(secret, records.values(1))
    try:
        cluster.admin.create_acls([_rule(secret, "DESCRIBE", "ALLOW"), _rule(secret, "READ", "DENY")])
        cases.append((no_right, f"topic {secret} is denied to this user: grant READ on it"))
    except SecurityDisabledError:
        pass  # an existing broker without an authorizer
    workers = [Service(["worker"], settings=settings, folder=tmp_path) for settings, _ in cases]
    try:
        for worker, (_, words) in zip(workers, cases, strict=True):
            assert worker.ended() == 1, worker.log
            (line,) = [line for line in worker.log.splitlines() if " info " not in line]
            assert line.startswith("aestream worker: ")
            assert words in line
    finally:
        for worker in workers:
            worker.kill()


def _rule(topic: str, operation: str, permission: str) -> ACL:
    return ACL(
        principal="User:ANONYMOUS",
        host="*",
        operation=ACLOperation[operation],
        permission_type=ACLPermissionType[permission],
        resource_pattern=ResourcePattern(ResourceType.TOPIC, topic),
    )
