"""The transports that the contract is tested over. List a new one here.

Memory; and the embedded broker and Apache Kafka, each over kafka-python and over librdkafka.
"""

from __future__ import annotations

import itertools
import struct
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.structs import OffsetAndMetadata

from aestream.transport.base import History, Sink, Source, Topics, TransactionalSink
from aestream.transport.kafka_python.history import KafkaHistory
from aestream.transport.kafka_python.member import in_kafkas_terms
from aestream.transport.kafka_python.sink import KafkaSink
from aestream.transport.kafka_python.source import KafkaSource
from aestream.transport.kafka_python.topics import KafkaTopics
from aestream.transport.kafka_python.transactions import TransactionalKafkaSink
from aestream.transport.librdkafka.member import in_librdkafkas_terms
from aestream.transport.librdkafka.sink import ConfluentSink
from aestream.transport.librdkafka.source import ConfluentSource
from aestream.transport.librdkafka.transactions import TransactionalConfluentSink
from aestream.transport.memory import (
    MemoryBroker,
    MemoryHistory,
    MemorySink,
    MemorySource,
    MemoryTopics,
    MemoryTransactionalSink,
    Message,
)
from aestream.transport.places import Stored
from aestream.types import Batch, Headers, Outgoing, Partition, Span

MAX_BYTES = 100_000
SECONDS = 60.0


def outgoing(
    topic: str, values: list[bytes | None], *, partition: int | None = 0, headers: list[Headers] | None = None
) -> Outgoing:
    source = Partition("elsewhere" if partition is None else topic, partition or 0)
    return Outgoing(topic, values, [b"k"] * len(values), [source] * len(values), headers or ())


@dataclass
class Memory:
    """Sources and sinks of one broker in this process."""

    broker: MemoryBroker = field(default_factory=MemoryBroker)
    names: Iterator[int] = field(default_factory=itertools.count)

    def topic(self, partitions: int = 1, *, max_bytes: int | None = None) -> str:
        name = f"topic-{next(self.names)}"
        self.broker.partitions[name] = partitions
        if max_bytes is not None:
            self.broker.max_bytes[name] = max_bytes
        return name

    def source(self, topic: str, *, group: str = "g", max_records: int = 5000) -> Source:  # noqa: ARG002
        return MemorySource(self.broker, [topic], max_records=max_records)

    def sink(self) -> Sink:
        return MemorySink(self.broker, max_bytes=MAX_BYTES)

    def transactions(self, name: str, *, timeout_ms: int = 60_000) -> TransactionalSink:  # noqa: ARG002
        return MemoryTransactionalSink(self.broker, max_bytes=MAX_BYTES)

    def history(self, topic: str) -> History:
        return MemoryHistory(self.broker, [topic])

    def topics(self) -> Topics:
        return MemoryTopics(self.broker)

    def group(self, topic: str) -> str:
        return topic

    def put(self, topic: str, partition: int, value: bytes, timestamp: int) -> None:
        self.broker.append(topic, Message(value, None, (), timestamp), partition)

    def move(self, topic: str, offsets: Mapping[Partition, int]) -> None:  # noqa: ARG002
        """Set committed offsets as somebody who is no worker."""
        pytest.skip("memory has no commits but those of its sources")

    def close(self) -> None:
        pass


class Kafka:
    """Sources and sinks of a real broker, over kafka-python."""

    source_class: Any = KafkaSource
    sink_class: Any = KafkaSink
    transactional_class: Any = TransactionalKafkaSink

    def __init__(self, bootstrap: str) -> None:
        self.connection = {"bootstrap_servers": [bootstrap]}
        self.opened: list[Source | Sink] = []
        self.producer = KafkaProducer(**self.connection)

    def topic(self, partitions: int = 1, *, max_bytes: int | None = None) -> str:
        name = f"contract-{uuid.uuid4().hex[:12]}"
        KafkaTopics(self.connection).create([name], partitions=partitions, replication=1)
        if max_bytes is not None:
            admin = KafkaAdminClient(**self.connection)
            admin.alter_configs([ConfigResource("topic", name, {"max.message.bytes": str(max_bytes)})])
            admin.close()
        return name

    def source(self, topic: str, *, group: str = "g", max_records: int = 5000, max_bytes: int = 2**24) -> Source:
        made: Source = self.source_class(
            [topic],
            connection=self.connection,
            group_id=self.group(topic, group),
            max_records=max_records,
            max_bytes=max_bytes,
            max_wait=0.02,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        self.opened.append(made)
        return made

    def sink(self) -> Sink:
        made: Sink = self.sink_class(connection=self.connection, max_request_size=MAX_BYTES)
        self.opened.append(made)
        return made

    def transactions(self, name: str, *, timeout_ms: int = 60_000) -> TransactionalSink:
        made: TransactionalSink = self.transactional_class(
            connection=self.connection,
            transactional_id=name,
            transaction_timeout_ms=timeout_ms,
            max_request_size=MAX_BYTES,
        )
        self.opened.append(made)
        return made

    def identities(self, source: Any) -> tuple[Any, Any]:
        """A member as its client describes it to a transaction, and the same of a generation before."""
        member = source._consumer.group_metadata()
        return member, member._replace(generation_id=member.generation_id - 1)

    def terms(self, offsets: Mapping[Partition, Stored]) -> Any:
        """Offsets as the client takes them in a transaction."""
        return in_kafkas_terms(offsets)

    def history(self, topic: str) -> History:
        return KafkaHistory([topic], connection=self.connection, max_records=100, remedy="create it")

    def topics(self) -> Topics:
        return KafkaTopics(self.connection)

    def group(self, topic: str, group: str = "g") -> str:
        return f"{group}-{topic}"

    def put(self, topic: str, partition: int, value: bytes, timestamp: int) -> None:
        self.producer.send(topic, value, partition=partition, timestamp_ms=timestamp).get(timeout=SECONDS)

    def move(self, topic: str, offsets: Mapping[Partition, int]) -> None:
        """Set committed offsets as somebody who is no worker."""
        admin = KafkaAdminClient(**self.connection)
        told = {TopicPartition(*part): OffsetAndMetadata(offset, "", -1) for part, offset in offsets.items()}
        admin.alter_group_offsets(f"g-{topic}", told)
        admin.close()

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.producer.close()


class Confluent(Kafka):
    """The same over librdkafka; history and topics over kafka-python."""

    source_class = ConfluentSource
    sink_class = ConfluentSink
    transactional_class = TransactionalConfluentSink

    def identities(self, source: Any) -> tuple[Any, Any]:
        member = source._member.identity()
        place = len(b"CGMDv2:")
        (generation,) = struct.unpack_from("<i", member, place)
        return member, member[:place] + struct.pack("<i", generation - 1) + member[place + 4 :]

    def terms(self, offsets: Mapping[Partition, Stored]) -> Any:
        return in_librdkafkas_terms(offsets)


Transport = Memory | Kafka
TRANSPORTS: dict[str, Callable[[pytest.FixtureRequest], Transport]] = {
    "memory": lambda _request: Memory(),
    "embedded": lambda request: Kafka(request.getfixturevalue("embedded_kafka")),
    "apache": lambda request: Kafka(request.getfixturevalue("kafka")),
    "confluent-embedded": lambda request: Confluent(request.getfixturevalue("embedded_kafka")),
    "confluent-apache": lambda request: Confluent(request.getfixturevalue("kafka")),
}


def deliver(sink: Sink, *messages: Outgoing) -> None:
    for some in messages:
        sink.send(some)
    deadline = time.monotonic() + SECONDS
    while not sink.flush(1.0):
        assert time.monotonic() < deadline, "not acknowledged"


def collect(source: Source, count: int) -> list[Batch]:
    """Poll until so many records have come."""
    found: list[Batch] = []
    deadline = time.monotonic() + SECONDS
    while sum(map(len, found)) < count:
        assert time.monotonic() < deadline, f"{sum(map(len, found))} of {count} records came"
        if len(batch := source.poll(0.5)):
            found.append(batch)
    return found


def settled(source: Source) -> None:
    deadline = time.monotonic() + SECONDS
    while not source.joined():
        assert time.monotonic() < deadline, "the group did not settle"
        assert not len(source.poll(0.2))


def one_of(batches: list[Batch]) -> Batch:
    """Batches of different partitions as one."""
    spans, row = [], 0
    for batch in batches:
        spans += [Span(span.partition, row + span.start, row + span.stop) for span in batch.spans]
        row += len(batch)
    assert len({span.partition for span in spans}) == len(spans)
    columns = [
        [one for batch in batches for one in getattr(batch, name)]
        for name in ("offsets", "timestamps", "keys", "values", "headers")
    ]
    return Batch(spans, *columns)


def by_partition(batches: list[Batch]) -> dict[Partition, list[tuple[int, bytes | None]]]:
    found: dict[Partition, list[tuple[int, bytes | None]]] = {}
    for batch in batches:
        for partition, start, stop in batch.spans:
            rows = zip(batch.offsets[start:stop], batch.values[start:stop], strict=True)
            found.setdefault(partition, []).extend(rows)
    return found
