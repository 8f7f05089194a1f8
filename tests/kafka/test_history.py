"""The past of topics in which not every offset holds a record, and of topics with odd timestamps, on Apache Kafka."""

from __future__ import annotations

import time
import uuid

import pytest
from kafka import KafkaProducer

from aestream.transport.kafka_python.history import KafkaHistory
from aestream.types import Batch
from tests.kafka.cluster import Cluster, wait_for


def history(cluster: Cluster, topic: str) -> KafkaHistory:
    connection = {"bootstrap_servers": [cluster.bootstrap]}
    return KafkaHistory(
        [topic], connection=connection, max_records=100, remedy="create it", isolation_level="read_committed"
    )


def numbers(batches: list[Batch]) -> list[int]:
    """The records' values, partition after partition, each in the order of its offsets, none twice."""
    found = {
        (partition, batch.offsets[row]): int(batch.values[row] or b"-1")
        for batch in batches
        for (_, partition), start, stop in batch.spans
        for row in range(start, stop)
    }
    assert len(found) == sum(map(len, batches))
    return [found[place] for place in sorted(found)]


def read(cluster: Cluster, topic: str, records: int) -> list[int]:
    return numbers(list(history(cluster, topic).read(records=records, period=None)))


def test_markers_and_aborted_transactions_do_not_count(cluster: Cluster) -> None:
    # 60 transactions of one record, then one of 200 records that is aborted. Result: as many records as wanted.
    topic = cluster.topic()
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=uuid.uuid4().hex)
    producer.init_transactions()
    for i in range(60):
        producer.begin_transaction()
        producer.send(topic, b"%d" % i, partition=0)
        producer.commit_transaction()
    assert read(cluster, topic, 20) == list(range(40, 60))
    producer.begin_transaction()
    for _ in range(200):
        producer.send(topic, b"0", partition=0)
    producer.flush()
    producer.abort_transaction()
    producer.close()
    for records in (1, 20, 59):
        assert read(cluster, topic, records) == list(range(60 - records, 60))
    assert read(cluster, topic, 1000) == list(range(60))


def test_a_compacted_topic_does_not_come_up_short(cluster: Cluster) -> None:
    # 1. 300 keys once, then some of them again and again. 2. Compaction. Result: as many of the newest as wanted.
    configs = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = cluster.name("compacted")
    new = {topic: {"num_partitions": 2, "replication_factor": 1, "configs": configs}}
    cluster.admin.create_topics(new, wait_for_metadata=True)
    for partition in range(2):
        values = [b"%d" % (1000 * partition + i) for i in range(300)]
        cluster.send(topic, values, keys=[b"k%d" % i for i in range(300)], partition=partition)
        for _ in range(6):
            time.sleep(0.15)  # so that a new segment begins
            cluster.send(topic, [b"9999"] * 200, keys=[b"hot%d" % (i % 5) for i in range(200)], partition=partition)
    # The active segment stays as it is, so a little more than one record a key is left.
    wait_for("compaction", lambda: len(read(cluster, topic, 10_000)) < 2 * 300 + 500)
    everything = read(cluster, topic, 10_000)
    wanted = len(everything) - 100
    found = read(cluster, topic, wanted)
    assert wanted * 0.98 < len(found) <= wanted
    assert found.count(9999) == everything.count(9999)
    oldest = set(everything) - set(found)
    assert 100 <= len(oldest) < 110
    assert max(oldest) < 110


def test_the_far_future_in_one_partition_takes_nothing_from_the_others(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    topic = cluster.topic(partitions=2)
    now = int(time.time() * 1000)
    cluster.send(topic, [b"-2"], partition=0, timestamp=now * 1000)  # microseconds, once
    for i in range(50):
        for partition in range(2):
            cluster.send(topic, [b"%d" % i], partition=partition, timestamp=now - 50_000 + 1000 * i)
    assert read(cluster, topic, 20) == [*range(40, 50), *range(40, 50)]
    assert f"{topic}/0" in caplog.text
    assert f"{topic}/1" not in caplog.text
