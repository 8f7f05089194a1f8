"""The sink: columns arrive as single messages do; what can no longer be sent neither keeps it open nor raises."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from kafka.errors import IllegalStateError, MessageSizeTooLargeError

from aestream.demo.brokers import EmbeddedKafka
from aestream.errors import TransportError
from aestream.transport.kafka_python import sink
from aestream.transport.kafka_python.producer import ColumnProducer
from aestream.transport.librdkafka import sink as librdkafka_sink
from aestream.transport.librdkafka.sink import ConfluentSink
from aestream.types import Outgoing, Partition
from tests.kafka.cluster import Cluster, wait_for


def test_it_closes_although_its_broker_is_gone() -> None:
    before = set(threading.enumerate())
    messages = Outgoing("results", [b"x"], [None], [Partition("results", 0)])
    with EmbeddedKafka(start_timeout=20.0) as broker:
        made = sink.KafkaSink(connection={"bootstrap_servers": [broker.bootstrap]}, max_request_size=1_000_000)
        made.send(messages)
        assert made.flush(20.0)
    made.send(messages)
    assert not made.flush(0.5)
    made.close(1.0)
    made.close()
    assert set(threading.enumerate()) <= before


def test_a_next_producer_does_not_wait_as_long_for_its_broker_as_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever sets a long time for the first contact would wait as long without a sign of life in an outage.
    with EmbeddedKafka(start_timeout=20.0) as broker:
        connection = {"bootstrap_servers": [broker.bootstrap], "bootstrap_timeout_ms": 3_600_000}
        made = sink.KafkaSink(connection=connection, max_request_size=1_000_000)
    monkeypatch.setattr(sink, "_ANSWER_TIMEOUT_MS", 500)
    made.close(1.0)
    with pytest.raises(TransportError, match="no answer from Kafka"):
        made._replace()


def test_partitions_that_are_added_to_a_result_topic_are_used(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(librdkafka_sink, "_COUNTED_SECONDS", 0.0)
    topic = cluster.topic()
    made = ConfluentSink(connection={"bootstrap_servers": [cluster.bootstrap]}, max_request_size=1_000_000)
    assert made.partition_count(topic) == 1
    cluster.admin.create_partitions({topic: 2})
    wait_for("the new partition", lambda: made.partition_count(topic) == 2)
    made.send(Outgoing(topic, [b"x"], [None], [Partition(topic, 1)]))
    assert made.flush(20.0)
    made.close()
    assert [record.partition for record in cluster.read(topic)] == [1]


@pytest.fixture
def producer(cluster: Cluster) -> Iterator[ColumnProducer]:
    with ColumnProducer(
        bootstrap_servers=cluster.bootstrap, max_request_size=100_000, batch_size=1000, allow_auto_create_topics=False
    ) as made:
        yield made


def test_a_column_arrives_like_messages_that_are_sent_one_by_one(cluster: Cluster, producer: ColumnProducer) -> None:
    topic = cluster.topic(partitions=3)
    partitions = [number % 3 for number in range(300)]
    values, keys = [b"%d" % n for n in range(300)], [b"key" if n % 2 else None for n in range(300)]
    before = int(time.time() * 1000)
    for _ in range(2):  # the first time, the topic is not known yet
        futures = producer.send_column(topic, values, keys, partitions)
        producer.flush()
        placed = [future.value for future in futures]
        assert [place.partition for place in placed] == partitions
        assert all(before <= place.timestamp <= time.time() * 1000 for place in placed)
    got = cluster.read(topic)
    for number in range(3):
        mine = [record for record in got if record.partition == number]
        assert [record.offset for record in mine] == list(range(200))
        assert [record.value for record in mine] == 2 * values[number::3]
        assert [record.key for record in mine] == 2 * keys[number::3]


def test_a_column_that_leaves_the_partition_to_the_key_goes_where_the_key_goes(
    cluster: Cluster, producer: ColumnProducer
) -> None:
    topic, keys = cluster.topic(partitions=3), [b"key-%d" % n for n in range(30)]
    one_by_one = [producer.send(topic, b"x", key) for key in keys]
    column = producer.send_column(topic, [b"x"] * 30, keys, [None] * 30)
    producer.flush()
    assert [future.value.partition for future in column] == [future.value.partition for future in one_by_one]


@pytest.mark.parametrize(
    ("values", "partitions", "error"),
    [
        ([b"x", bytes(99_990)], [0, 0], MessageSizeTooLargeError),
        ([b"x", b"x"], [0, 3], ValueError),
        ([b"x", None], [0, 0], ValueError),
    ],
    ids=["too large", "no such partition", "nothing"],
)
def test_a_column_raises_what_sending_its_messages_raises(
    cluster: Cluster,
    producer: ColumnProducer,
    values: list[bytes | None],
    partitions: list[int],
    error: type[Exception],
) -> None:
    topic = cluster.topic()
    producer.partitions_for(topic)
    with pytest.raises(error):
        producer.send_column(topic, values, [None, None], partitions)


def test_a_closed_producer_takes_no_column(cluster: Cluster, producer: ColumnProducer) -> None:
    topic = cluster.topic()
    producer.partitions_for(topic)
    producer.close()
    with pytest.raises(IllegalStateError):
        producer.send_column(topic, [b"x"], [None], [0])
