"""What every transport does, over memory, the embedded broker and Apache Kafka: a new one is listed in TRANSPORTS."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from aestream.errors import DeliveryError, TooLargeError, TransportError
from aestream.transport.base import History, Sink, Source, Topics
from aestream.transport.delivery import AtLeastOnce
from aestream.transport.kafka_python.history import KafkaHistory
from aestream.transport.kafka_python.sink import KafkaSink
from aestream.transport.kafka_python.source import KafkaSource
from aestream.transport.kafka_python.topics import KafkaTopics
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemorySink, MemorySource, MemoryTopics, Message
from aestream.types import Batch, Changes, Headers, Membership, Outgoing, Partition
from tests.kafka.cluster import wait_for

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

    def history(self, topic: str) -> History:
        return MemoryHistory(self.broker, [topic])

    def topics(self) -> Topics:
        return MemoryTopics(self.broker)

    def put(self, topic: str, partition: int, value: bytes, timestamp: int) -> None:
        self.broker.append(topic, Message(value, None, (), timestamp), partition)

    def close(self) -> None:
        pass


class Kafka:
    """Sources and sinks of a real broker."""

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

    def source(self, topic: str, *, group: str = "g", max_records: int = 5000) -> Source:
        made = KafkaSource(
            [topic],
            connection=self.connection,
            group_id=f"{group}-{topic}",
            max_records=max_records,
            max_wait=0.02,
            auto_offset_reset="earliest",
        )
        self.opened.append(made)
        return made

    def sink(self) -> Sink:
        made = KafkaSink(connection=self.connection, max_request_size=MAX_BYTES)
        self.opened.append(made)
        return made

    def history(self, topic: str) -> History:
        return KafkaHistory([topic], connection=self.connection, max_records=100, remedy="create it")

    def topics(self) -> Topics:
        return KafkaTopics(self.connection)

    def put(self, topic: str, partition: int, value: bytes, timestamp: int) -> None:
        self.producer.send(topic, value, partition=partition, timestamp_ms=timestamp).get(timeout=SECONDS)

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.producer.close()


Transport = Memory | Kafka
TRANSPORTS: dict[str, Callable[[pytest.FixtureRequest], Transport]] = {
    "memory": lambda _request: Memory(),
    "embedded": lambda request: Kafka(request.getfixturevalue("embedded_kafka")),
    "apache": lambda request: Kafka(request.getfixturevalue("kafka")),
}


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made = TRANSPORTS[request.param](request)
    yield made
    made.close()


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


def by_partition(batches: list[Batch]) -> dict[Partition, list[tuple[int, bytes | None]]]:
    found: dict[Partition, list[tuple[int, bytes | None]]] = {}
    for batch in batches:
        for partition, start, stop in batch.spans:
            rows = zip(batch.offsets[start:stop], batch.values[start:stop], strict=True)
            found.setdefault(partition, []).extend(rows)
    return found


def test_records_come_in_order_per_partition_and_batch_by_batch(transport: Transport) -> None:
    topic = transport.topic(3)
    sink = transport.sink()
    deliver(sink, *(outgoing(topic, [b"%d" % i for i in range(100)], partition=p) for p in range(3)))
    batches = collect(transport.source(topic, max_records=70), 300)
    assert max(map(len, batches)) <= 70
    expected = [(i, b"%d" % i) for i in range(100)]
    assert by_partition(batches) == {Partition(topic, p): expected for p in range(3)}
    for batch in batches:
        assert len(batch) == len(batch.keys) == len(batch.headers) == len(batch.timestamps) == len(batch.offsets)
        assert sorted(row for _, start, stop in batch.spans for row in range(start, stop)) == list(range(len(batch)))


def test_keys_headers_and_empty_values_survive(transport: Transport) -> None:
    topic = transport.topic()
    headers: list[Headers] = [(("a", b"1"), ("a", b"\xff")), (), (("b", b""),)]
    keys = [b"\x00\xff", None, b""]
    deliver(transport.sink(), Outgoing(topic, [b"", b"x", None], keys, [Partition(topic, 0)] * 3, headers))
    (batch,) = collect(transport.source(topic), 3)
    assert list(batch.values) == [b"", b"x", None]
    assert list(batch.keys) == keys
    assert [tuple(map(tuple, h or ())) for h in batch.headers] == headers


def test_timestamps_survive_even_odd_ones(transport: Transport) -> None:
    topic = transport.topic()
    stamps = [0, 1, int(time.time() * 1000)]  # the last one of today: what is older than a week the broker may delete
    for stamp in stamps:
        transport.put(topic, 0, b"x", stamp)
    assert [stamp for batch in collect(transport.source(topic), 3) for stamp in batch.timestamps] == stamps


def test_nothing_appears_committed_by_reading_alone(transport: Transport) -> None:
    topic = transport.topic()
    deliver(transport.sink(), outgoing(topic, [b"0", b"1"]))
    first = transport.source(topic)
    collect(first, 2)
    first.close()
    (batch,) = collect(transport.source(topic), 2)
    assert list(batch.offsets) == [0, 1]


def test_a_successor_goes_on_from_the_committed_offset(transport: Transport) -> None:
    topic = transport.topic(2)
    deliver(transport.sink(), *(outgoing(topic, [b"%d" % i for i in range(10)], partition=p) for p in range(2)))
    first = transport.source(topic)
    collect(first, 20)
    assert first.commit({Partition(topic, 0): 4, Partition(topic, 1): 10})
    first.close()
    assert by_partition(collect(transport.source(topic), 6)) == {
        Partition(topic, 0): [(i, b"%d" % i) for i in range(4, 10)]
    }


def test_delivery_commits_behind_what_was_published(transport: Transport) -> None:
    topic, results = transport.topic(), transport.topic()
    sink = transport.sink()
    deliver(sink, outgoing(topic, [b"a", b"b"]))
    source = transport.source(topic)
    delivery = AtLeastOnce(source, sink)
    (batch,) = collect(source, 2)
    delivery.publish([outgoing(results, [b"A", b"B"])], patience=lambda: True)
    assert delivery.commit(batch, patience=lambda: True)
    assert not delivery.uncommitted
    source.close()
    deliver(sink, outgoing(topic, [b"c"]))
    (later,) = collect(transport.source(topic), 1)
    assert (later.offsets[0], later.values[0]) == (2, b"c")
    (published,) = collect(transport.source(results), 2)
    assert list(published.values) == [b"A", b"B"]


def test_results_keep_the_number_where_topics_are_alike(transport: Transport) -> None:
    topic, alike, other = transport.topic(3), transport.topic(3), transport.topic(2)
    sink = transport.sink()
    deliver(sink, *(outgoing(topic, [b"%d" % p], partition=p) for p in range(3)))
    source = transport.source(topic)
    delivery = AtLeastOnce(source, sink)
    for batch in collect(source, 3):
        results = [Outgoing(name, batch.values, batch.keys, batch.sources) for name in (alike, other)]
        delivery.publish(results, patience=lambda: True)
    kept = by_partition(collect(transport.source(alike), 3))
    assert kept == {Partition(alike, p): [(0, b"%d" % p)] for p in range(3)}
    (by_key,) = by_partition(collect(transport.source(other), 3)).values()  # all have one key
    assert len(by_key) == 3


def test_a_member_has_its_place_and_its_partitions(transport: Transport) -> None:
    topic = transport.topic(3)
    source = transport.source(topic)
    settled(source)
    assert source.assigned() == {Partition(topic, p) for p in range(3)}
    assert source.changes() == Changes(assigned=source.assigned())
    assert source.changes() == Changes()
    assert source.partition_count(topic) == 3
    assert source.commit({}) is True


def test_a_partition_is_told_of_before_its_records_come(transport: Transport) -> None:
    topic = transport.topic(3)
    deliver(transport.sink(), *(outgoing(topic, [b"x"] * 10, partition=p) for p in range(3)))
    source = transport.source(topic, max_records=7)
    told: set[Partition] = set()
    seen = 0
    deadline = time.monotonic() + SECONDS
    while seen < 30:
        assert time.monotonic() < deadline
        batch = source.poll(0.5)
        told |= source.changes().assigned
        assert batch.positions.keys() <= told
        seen += len(batch)
    assert told == source.assigned()


def test_lag_is_what_is_not_committed(transport: Transport) -> None:
    topic = transport.topic(2)
    source = transport.source(topic, max_records=4)
    settled(source)
    for partition in range(2):
        deliver(transport.sink(), outgoing(topic, [b"x"] * 10, partition=partition))
    batches = collect(source, 20)
    # All of it is read and nothing committed: a worker that died now would have all of it before it.
    assert {place.lag_records for place in source.positions().values()} == {10}
    assert source.commit({Partition(topic, 0): 7})
    positions = source.positions()
    assert [positions[Partition(topic, p)].lag_records for p in range(2)] == [3, 10]
    # Both lag, so both have an age, whichever was in the last batch.
    assert all(place.lag_seconds > 0 for place in positions.values())
    for batch in batches:
        assert source.commit(batch.positions)
    assert {(place.lag_records, place.lag_seconds) for place in source.positions().values()} == {(0, 0.0)}


def test_a_member_says_where_it_stands(transport: Transport) -> None:
    source = transport.source(transport.topic())
    settled(source)
    assert source.membership() is Membership.MEMBER
    assert source.answers()


def test_a_message_that_is_too_large_is_refused(transport: Transport) -> None:
    topic = transport.topic()
    sink = transport.sink()
    assert sink.max_bytes(topic) == MAX_BYTES
    with pytest.raises(DeliveryError, match="large"):
        deliver(sink, outgoing(topic, [b"x" * (MAX_BYTES + 1)]))
    deliver(sink, outgoing(topic, [b"next"]))
    (batch,) = collect(transport.source(topic), 1)
    assert list(batch.values) == [b"next"]


def test_a_topic_that_takes_less_is_learnt_and_the_sink_goes_on(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker takes a message of any size")
    topic = transport.topic(max_bytes=10_000)
    sink = transport.sink()
    values: list[bytes | None] = [b"%d" % i + b"x" * 500 for i in range(100)]
    deliver(sink, outgoing(topic, values))  # each fits, together they do not
    with pytest.raises(TooLargeError, match=topic) as caught:
        deliver(sink, outgoing(topic, [b"y" * (MAX_BYTES - 1000)]))
    assert "None" not in str(caught.value)
    while sink.max_bytes(topic) > 10_000:
        before = sink.max_bytes(topic)
        with pytest.raises(TooLargeError, match=topic):
            deliver(sink, outgoing(topic, [b"y" * (before - 500)]))
        assert sink.max_bytes(topic) < before
    last = b"y" * (sink.max_bytes(topic) - 500)
    deliver(sink, outgoing(topic, [last]))
    assert sink.max_bytes("another") == MAX_BYTES
    found = [value for batch in collect(transport.source(topic), 101) for value in batch.values]
    assert found == [*values, last]


def test_which_topic_refuses_is_told_when_they_come_one_after_the_other(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker takes a message of any size")
    small, large = transport.topic(max_bytes=10_000), transport.topic()
    sink = transport.sink()
    delivery = AtLeastOnce(transport.source(large), sink)
    results = [outgoing(large, [b"x" * 60_000]), outgoing(small, [b"x" * 20_000])]
    with pytest.raises(TooLargeError):
        delivery.publish(results, patience=lambda: True)
    with pytest.raises(TooLargeError, match=small):
        delivery.publish(results, patience=lambda: True, topic_by_topic=True)
    assert sink.max_bytes(small) < 20_000
    assert sink.max_bytes(large) == MAX_BYTES


def test_a_topic_that_is_not_there_is_named(transport: Transport, request: pytest.FixtureRequest) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker makes a topic that is asked for")
    with pytest.raises(TransportError, match="no-such-topic"):
        transport.sink().partition_count("no-such-topic")


def test_closing_twice_is_closing_once(transport: Transport) -> None:
    topic = transport.topic()
    source, sink = transport.source(topic), transport.sink()
    for client in (source, sink):
        client.close()
        client.close()


def test_flushing_nothing_is_done_at_once_and_partitions_are_known(transport: Transport) -> None:
    topic = transport.topic(4)
    sink = transport.sink()
    assert sink.flush(0.1)
    assert sink.partition_count(topic) == 4


def test_messages_without_a_partition_keep_their_order_by_key(transport: Transport) -> None:
    topic = transport.topic(4)
    keys = [b"%d" % (i % 7) for i in range(200)]
    values: list[bytes | None] = [b"%d" % i for i in range(200)]
    deliver(transport.sink(), Outgoing(topic, values, keys, [Partition("elsewhere", 0)] * 200))
    seen: dict[bytes | None, list[tuple[int, int]]] = {}
    for batch in collect(transport.source(topic), 200):
        for (_, partition), start, stop in batch.spans:
            for row in range(start, stop):
                seen.setdefault(batch.keys[row], []).append((partition, int(batch.values[row] or b"")))
    for places in seen.values():
        assert len({partition for partition, _ in places}) == 1
        assert [number for _, number in places] == sorted(number for _, number in places)


def test_history_gives_the_newest_records_of_all_partitions(transport: Transport) -> None:
    topic = transport.topic(3)
    now = int(time.time() * 1000)
    for i in range(100):
        transport.put(topic, 0, b"idle", now - 30 * 86_400_000 + i)
        transport.put(topic, 1, b"busy", now - 100_000 + i * 1000)
        transport.put(topic, 2, b"slow", now - 500_000 + i * 5000)
    found = by_partition(list(transport.history(topic).read(records=120, period=None)))
    assert [offset for offset, _ in found[Partition(topic, 1)]] == list(range(100))
    assert [offset for offset, _ in found[Partition(topic, 2)]] == list(range(80, 100))
    assert Partition(topic, 0) not in found
    found = by_partition(list(transport.history(topic).read(records=210, period=None)))
    assert [offset for offset, _ in found[Partition(topic, 0)]] == list(range(90, 100))


def test_history_takes_equal_shares_of_records_of_one_moment(transport: Transport) -> None:
    topic = transport.topic(2)
    now = int(time.time() * 1000)
    for i in range(40):
        transport.put(topic, min(i // 30, 1), b"x", now)
    found = by_partition(list(transport.history(topic).read(records=20, period=None)))
    assert {partition.partition: [offset for offset, _ in rows] for partition, rows in found.items()} == {
        0: list(range(15, 30)),
        1: list(range(5, 10)),
    }


def test_history_reads_timestamps_in_seconds(transport: Transport) -> None:
    topic = transport.topic(2)
    now = int(time.time())
    for i in range(50):
        transport.put(topic, 0, b"seconds", now - 100 + 2 * i)
        transport.put(topic, 1, b"milliseconds", (now - 100 + 2 * i) * 1000)
    found = by_partition(list(transport.history(topic).read(records=40, period=None)))
    expected = list(range(30, 50))
    assert [[offset for offset, _ in found[Partition(topic, p)]] for p in range(2)] == [expected, expected]
    batches = list(transport.history(topic).read(records=100, period=50.0))
    assert sum(map(len, batches)) == pytest.approx(50, abs=6)


def test_history_goes_by_offset_where_timestamps_tell_no_time(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    topic = transport.topic(2)
    now = int(time.time() * 1000)
    for i in range(50):
        transport.put(topic, 0, b"zero", 0)
        transport.put(topic, 1, b"time", now - 50_000 + 1000 * i)
    for period in (None, 3600.0):
        found = by_partition(list(transport.history(topic).read(records=40, period=period)))
        expected = list(range(30, 50))
        assert [[offset for offset, _ in found[Partition(topic, p)]] for p in range(2)] == [expected, expected]
    if not isinstance(transport, Memory):
        assert f"the timestamps in {topic}/0 are not times" in caplog.text
        assert f"{topic}/1" not in caplog.text


def test_history_reads_all_when_there_is_less_than_wanted(transport: Transport) -> None:
    topic = transport.topic(2)
    deliver(transport.sink(), outgoing(topic, [b"%d" % i for i in range(30)], partition=1))
    found = by_partition(list(transport.history(topic).read(records=1000, period=None)))
    assert found == {Partition(topic, 1): [(i, b"%d" % i) for i in range(30)]}


def test_history_leaves_out_what_is_older_than_the_period(transport: Transport) -> None:
    topic = transport.topic(2)
    now = int(time.time() * 1000)
    for age in (7200, 5400, 1800, 600):
        transport.put(topic, 0, b"%d" % age, now - age * 1000)
    transport.put(topic, 1, b"old", now - 9_000_000)
    batches = list(transport.history(topic).read(records=1000, period=3600.0))
    assert [value for batch in batches for value in batch.values] == [b"1800", b"600"]


def test_history_of_an_empty_topic_is_empty_and_commits_nothing(transport: Transport) -> None:
    topic = transport.topic(2)
    assert list(transport.history(topic).read(records=10, period=None)) == []
    deliver(transport.sink(), outgoing(topic, [b"x"]))
    assert [len(batch) for batch in transport.history(topic).read(records=10, period=None)] == [1]
    (batch,) = collect(transport.source(topic), 1)
    assert batch.offsets[0] == 0


def test_history_ends_where_the_topic_ended_when_it_began(transport: Transport) -> None:
    topic = transport.topic()
    sink = transport.sink()
    deliver(sink, outgoing(topic, [b"%d" % i for i in range(250)]))
    seen = 0
    for batch in transport.history(topic).read(records=1000, period=None):
        seen += len(batch)
        deliver(sink, outgoing(topic, [b"later"]))
    assert seen == 250


def test_following_goes_on_with_what_arrives(transport: Transport) -> None:
    topic = transport.topic(2)
    sink = transport.sink()
    now = int(time.time() * 1000)
    for i in range(20):
        transport.put(topic, i % 2, b"%d" % (i // 2), now - 20 + i // 2)
    following = transport.history(topic).follow(last=6)
    found: list[Batch] = []
    deadline = time.monotonic() + SECONDS
    while sum(map(len, found)) < 8:
        assert time.monotonic() < deadline
        if sum(map(len, found)) == 6:
            assert not len(next(following))  # nothing has arrived, and that is told
            deliver(sink, outgoing(topic, [b"new", b"newer"], partition=1))
        found.append(next(following))
    following.close()  # type: ignore[attr-defined]
    assert by_partition([batch for batch in found if len(batch)]) == {
        Partition(topic, 0): [(i, b"%d" % i) for i in range(7, 10)],
        Partition(topic, 1): [*((i, b"%d" % i) for i in range(7, 10)), (10, b"new"), (11, b"newer")],
    }


def test_topics_are_made_described_grown_and_deleted(transport: Transport, request: pytest.FixtureRequest) -> None:
    there, missing = transport.topic(2), f"missing-{uuid.uuid4().hex[:12]}"
    topics = transport.topics()
    found = topics.describe([there, missing])
    assert {name: state.partitions for name, state in found.items()} == {there: 2, missing: 0}
    assert found[there].refusal("READ", "create it") is None
    assert "create it" in str(found[missing].refusal("READ", "create it"))
    assert topics.group_refusal("g") is None
    assert topics.create([there, missing], partitions=1, replication=1) == [missing]
    assert {name: state.partitions for name, state in topics.describe([f"^{missing}"]).items()} == {missing: 1}
    if "embedded" not in request.node.name:  # which does not add partitions
        topics.grow({missing: 3})
        wait_for("three partitions", lambda: topics.describe([missing])[missing].partitions == 3, seconds=SECONDS)
    topics.delete([missing, there])
    wait_for("no topic", lambda: not topics.describe([missing])[missing].partitions, seconds=SECONDS)
