"""A worker with AESTREAM_DELIVERY=exactly_once: what readers of committed messages see when things go wrong."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aestream.demo.brokers import Broker
from aestream.errors import TransportError
from aestream.transport.base import TransactionalSink
from aestream.transport.kafka_python.transactions import TransactionalKafkaSink
from aestream.transport.librdkafka.transactions import TransactionalConfluentSink
from aestream.types import Outgoing, Partition
from tests.brokers.apache import pause, resume
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of, wait_for
from tests.kafka.secured import User
from tests.kafka.service import Service, run
from tests.kafka.test_limits import limit

MakeSettings = Callable[..., dict[str, str]]
ONCE = {"delivery": "exactly_once", "worker__max_batch_records": "50", "kafka__transaction_timeout_ms": "4000"}


class Stream:
    """A topic, and workers that score it exactly once."""

    def __init__(self, cluster: Cluster, make_settings: MakeSettings, folder: Path, *, partitions: int = 2) -> None:
        self.cluster, self.folder = cluster, folder
        self.topic = cluster.topic(partitions=partitions)
        self.settings = make_settings(folder, self.topic, partitions=partitions) | ONCE
        self.sent = 0

    def send(self, count: int) -> None:
        values = records.values(count, seed=self.sent)
        values[count // 2] = records.anomaly()
        values[count // 3] = b"not JSON"
        self.cluster.send(self.topic, values)
        self.sent += count

    def worker(self, **settings: str) -> Service:
        return Service(["worker"], settings=self.settings | settings, folder=self.folder)

    def done(self) -> bool:
        group = self.settings["kafka__group_id"]
        found = self.cluster.committed(group, self.topic)
        ends = self.cluster.ends(self.topic)
        return all(found.get(partition, 0) >= end for partition, end in ends.items())

    def results(self) -> int:
        return self.cluster.count(self.settings["topics__scores"])

    def each_once(self) -> None:
        """Each record has one score or one dead letter, and each flagged one an anomaly."""
        scores = [score_of(found) for found in self.cluster.read(self.settings["topics__scores"])]
        letters = [dict(found.headers) for found in self.cluster.read(self.settings["topics__dead_letters"])]
        anomalies = [score_of(found) for found in self.cluster.read(self.settings["topics__anomalies"])]
        seen = Counter(place_of(score)[1:] for score in scores)
        seen.update((int(one["aestream.dlq.partition"]), int(one["aestream.dlq.offset"])) for one in letters)
        ends = self.cluster.ends(self.topic)
        assert seen == Counter({(p, offset): 1 for p, end in ends.items() for offset in range(end)})
        flagged = Counter(place_of(score) for score in scores if score["anomaly"])
        assert flagged == Counter(map(place_of, anomalies))
        assert flagged
        assert letters


@pytest.fixture
def stream(cluster: Cluster, make_settings: MakeSettings, tmp_path: Path) -> Stream:
    return Stream(cluster, make_settings, tmp_path)


def test_a_kill_in_the_middle_leaves_each_result_once(stream: Stream) -> None:
    # 1. A worker is killed with a permanent name, another one without. 2. A last one scores the rest.
    stream.send(3000)
    for name in ("one", ""):
        before = stream.results()
        with stream.worker(kafka__group_instance_id=name) as worker:
            worker.until("new results", lambda before=before: stream.results() > before)
            worker.kill()
    with stream.worker(kafka__group_instance_id="one") as worker:
        worker.until("the end", stream.done)
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log
    stream.each_once()


def test_a_worker_that_is_suspended_for_too_long_publishes_nothing_afterwards(stream: Stream) -> None:
    # 1. The only worker is stopped (SIGSTOP) in the middle of its work. 2. Its session ends and its transaction is
    # aborted; a second worker takes all partitions and scores on. 3. The first one goes on (SIGCONT).
    # Result: it publishes nothing of what it held, joins again, and each result is there once.
    stream.send(2000)
    with stream.worker() as first:
        first.until("the first results", lambda: stream.results() > 0)
        first.signal(signal.SIGSTOP)
        with stream.worker() as second:
            second.until("all of it", stream.done)
            first.signal(signal.SIGCONT)
            stream.send(500)
            second.until("what came later", stream.done)
            first.ready()
            assert first.stop() == second.stop() == 0, first.log
    assert "Traceback" not in first.log
    stream.each_once()


def test_two_workers_of_the_same_name_do_not_work_side_by_side(stream: Stream) -> None:
    stream.send(600)
    with stream.worker(kafka__group_instance_id="same") as first:
        first.ready()
        with stream.worker(kafka__group_instance_id="same") as second:
            stream.send(600)
            assert first.ended() == 1
            assert "another member of the group runs with the same AESTREAM_KAFKA__GROUP_INSTANCE_ID" in first.log
            second.until("all of it", stream.done)
            assert second.stop() == 0, second.log
    stream.each_once()


def test_a_broker_that_is_away_for_longer_than_a_transaction_may_take(stream: Stream, pausable: Broker) -> None:
    # The broker stands still in the middle of the work, and has ended the transaction when it goes on.
    stream.send(2000)
    with stream.worker() as worker:
        worker.until("the first results", lambda: stream.results() > 0)
        pause(pausable)
        time.sleep(8)
        resume(pausable)
        worker.until("the end", stream.done)
        ended = worker.log.count("a transaction was not committed")
        if ended:  # else it stood still between two
            aborted = 'aestream_errors_total{error_type="aborted",stage="commit"}'
            worker.until("the count", lambda: worker.metric(aborted) == ended)
        assert worker.stop() == 0, worker.log
    assert "Traceback" not in worker.log
    stream.each_once()


@pytest.mark.parametrize("kind", [TransactionalKafkaSink, TransactionalConfluentSink])
def test_a_transaction_that_cannot_be_ended_now_is_ended_later(cluster: Cluster, pausable: Broker, kind: Any) -> None:
    # 1. A transaction is open, and the broker is away. 2. A next producer does not find it either, twice. 3. The broker
    # is back. Result: the transaction is aborted, and another one begins.
    topic = cluster.topic()
    connection = {"bootstrap_servers": [cluster.bootstrap], "request_timeout_ms": 1500}
    name = cluster.name("transactions")
    sink: TransactionalSink = kind(
        connection=connection, transactional_id=name, transaction_timeout_ms=2000, max_request_size=100_000
    )

    def is_ended() -> bool:
        with contextlib.suppress(TransportError):
            sink.reset()
            return True
        return False

    sink.begin()
    sink.send(Outgoing(topic, [b"x"], [None], [Partition(topic, 0)]))
    assert sink.flush(20.0)
    pause(pausable)
    try:
        assert not is_ended()
        assert not is_ended()
    finally:
        resume(pausable)
    wait_for("an end", is_ended)
    sink.begin()
    sink.send(Outgoing(topic, [b"x"], [None], [Partition(topic, 0)]))
    assert sink.flush(20.0)
    assert sink.abort()
    sink.close()


def test_a_stop_while_the_broker_is_away_ends_in_time(stream: Stream, pausable: Broker) -> None:
    # The broker stands still in the middle of the work, and the worker is to end. It has three seconds to drain, some
    # more to close its connections, and leaves nothing that readers of committed messages would see.
    stream.send(4000)
    with stream.worker(worker__drain_timeout="3s") as worker:
        worker.until("the first results", lambda: stream.results() > 0)
        pause(pausable)
        try:
            time.sleep(1)
            worker.signal(signal.SIGTERM)
            assert worker.ended(seconds=3 + 12) in {0, 1}, worker.log
        finally:
            resume(pausable)
        assert "Traceback" not in worker.log
        assert "the stacks of all threads" not in worker.log
    with stream.worker() as worker:
        worker.until("the end", stream.done)
        assert worker.stop() == 0, worker.log
    stream.each_once()


def test_a_result_that_its_topic_refuses_is_cut_and_the_others_come_once(stream: Stream) -> None:
    limit(stream.cluster, stream.settings["topics__dead_letters"], 5000)
    with stream.worker(kafka__max_request_size="1000000") as worker:
        worker.ready()
        limit(stream.cluster, stream.settings["topics__dead_letters"], 4000)  # the worker does not know of this
        stream.send(300)
        stream.cluster.send(stream.topic, [b"x" * 4500])
        worker.until("the end", stream.done)
        assert worker.stop() == 0, worker.log
    stream.each_once()


def test_a_state_topic_that_is_away_holds_up_nothing(stream: Stream) -> None:
    stream.send(600)
    stream.cluster.admin.delete_topics([stream.settings["state__topic"]])
    with stream.worker() as worker:
        worker.until("the end", stream.done)
        assert worker.stop() == 0, worker.log
    stream.each_once()


def test_uncommitted_reading_is_refused(stream: Stream) -> None:
    found = run(
        "worker", settings=stream.settings | {"kafka__isolation_level": "read_uncommitted"}, folder=stream.folder
    )
    assert found.returncode == 2
    assert "AESTREAM_KAFKA__ISOLATION_LEVEL is read_uncommitted" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_the_right_to_its_transactional_id_is_named(
    secured_settings: MakeSettings, secured_cluster: Cluster, user: User, tmp_path: Path
) -> None:
    topic = secured_cluster.topic()
    settings = secured_settings(tmp_path, topic) | user.settings | ONCE | {"kafka__group_instance_id": "one"}
    user.grant_all("worker", settings)
    found = run("worker", settings=settings, folder=tmp_path)
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert "access to the transactional id is denied" in last
    assert "grant this user WRITE on transactional ids that begin with the name of the consumer group" in last
    validated = run("validate", settings=settings, folder=tmp_path)
    assert validated.returncode == 1
    assert f"transactional ids {settings['kafka__group_id']}-*" in validated.stdout
    user.grant_all("worker, exactly once", settings)
    assert run("validate", settings=settings, folder=tmp_path).returncode == 0
    secured_cluster.send(topic, records.values(100))
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: secured_cluster.committed(group, topic).get(0, 0) >= 100)
        assert worker.stop() == 0, worker.log
