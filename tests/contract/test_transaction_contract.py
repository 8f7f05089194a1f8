"""What the transactions of every transport do: results and offsets appear together, once, or not at all."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, TopicPartition

from aestream.errors import DeliveryError, NoAnswerError, TooLargeError, TransactionError
from aestream.transport import delivery
from aestream.transport.base import TransactionalSink
from aestream.transport.delivery import ExactlyOnce
from aestream.transport.places import RefusedError
from aestream.types import Batch, Outgoing, Partition
from tests.contract.transports import MAX_BYTES, SECONDS, Kafka, Transport, collect, deliver, one_of, outgoing
from tests.kafka.cluster import wait_for


def always() -> bool:
    return True


def name() -> str:
    return f"transactions-{uuid.uuid4().hex[:12]}"


class Work:
    """A topic with records, and a member that delivers a result for each, exactly once."""

    def __init__(self, transport: Transport, *, count: int = 4, timeout_ms: int = 60_000) -> None:
        self.transport = transport
        self.input, self.results, self.id = transport.topic(2), transport.topic(), name()
        for partition in range(2):
            values: list[bytes | None] = [b"%d" % i for i in range(count)]
            deliver(transport.sink(), outgoing(self.input, values, partition=partition))
        self.source = transport.source(self.input)
        self.sink = transport.transactions(self.id, timeout_ms=timeout_ms)
        self.delivery = ExactlyOnce(self.source, self.sink)

    def batch(self, count: int = 8) -> Batch:
        """Some records, with their results published."""
        found = one_of(collect(self.source, count))
        self.source.changes()
        self.publish(found)
        return found

    def publish(self, batch: Batch) -> None:
        values: list[bytes | None] = [
            b"result of %d/%d" % (p.partition, o) for p, o in zip(batch.sources, batch.offsets, strict=True)
        ]
        self.delivery.publish([Outgoing(self.results, values, batch.keys, batch.sources)], patience=always)

    def seen(self, count: int) -> list[bytes | None]:
        """What those see who read committed messages, once there are so many, and a little later."""
        reader = self.transport.source(self.results, group=name())
        found = [value for batch in collect(reader, count) for value in batch.values] if count else []
        for _ in range(3):
            found += reader.poll(0.3).values
        return found

    def committed(self) -> int:
        return sum(self.source.recall([Partition(self.input, p) for p in range(2)]).values())


def test_results_and_offsets_appear_together(transport: Transport) -> None:
    work = Work(transport)
    batch = work.batch()
    assert work.seen(0) == []
    assert work.committed() == 0
    assert work.delivery.commit(batch, patience=always)
    assert len(set(work.seen(8))) == len(work.seen(8)) == 8
    assert work.committed() == 8
    assert sum(work.source.committed().values()) == 8
    assert work.delivery.commit(Batch(), patience=always)  # nothing is left to do


def test_one_transaction_follows_the_other(transport: Transport) -> None:
    work = Work(transport)
    for _ in range(5):
        for batch in collect(work.source, 8):  # the partitions may come one after the other
            work.publish(batch)
            assert work.delivery.commit(batch, patience=always)
        for partition in range(2):
            deliver(transport.sink(), outgoing(work.input, [b"x"] * 4, partition=partition))
    assert len(set(work.seen(40))) == 40


def test_what_belongs_to_no_batch_appears_by_itself(transport: Transport) -> None:
    work = Work(transport)
    settled_batches = collect(work.source, 8)
    assert settled_batches
    work.delivery.record([Outgoing(work.results, [b"closing"], [None], [Partition(work.input, 1)])], patience=always)
    assert work.seen(1) == [b"closing"]
    assert work.committed() == 0


def test_a_transaction_that_is_not_committed_leaves_nothing(transport: Transport) -> None:
    work = Work(transport)
    work.batch()
    work.sink.reset()
    work.sink.begin()
    work.sink.send(outgoing(work.results, [b"next"]))
    acknowledged(work.sink)
    work.sink.close()
    assert work.seen(0) == []
    assert work.committed() == 0


def test_what_is_too_large_is_left_out_and_the_rest_goes_on(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker takes a message of any size")
    work = Work(transport)
    small = transport.topic(max_bytes=10_000)
    batch = one_of(collect(work.source, 8))
    results = [outgoing(work.results, [b"fits"]), outgoing(small, [b"x" * 50_000])]
    with pytest.raises(TooLargeError):
        work.delivery.publish(results, patience=always)
    with pytest.raises(TooLargeError, match=small):
        work.delivery.publish(results, patience=always, topic_by_topic=True)
    assert work.sink.max_bytes(small) < MAX_BYTES
    work.delivery.publish([Outgoing(work.results, [b"cut"], [None], batch.sources[:1])], patience=always)
    assert work.delivery.commit(batch, patience=always)
    assert work.seen(1) == [b"cut"]
    assert work.committed() == 8


def test_a_next_sink_of_the_same_name_ends_what_the_former_one_left(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "memory" in request.node.name:
        pytest.skip("memory knows no names")
    work = Work(transport)
    batch = work.batch()
    successor = transport.transactions(work.id)
    successor.begin()
    successor.send(outgoing(work.results, [b"mine"]))
    acknowledged(successor)
    with pytest.raises(TransactionError):
        work.source.commit(batch.positions, within=work.sink)
    successor.reset()
    assert work.seen(0) == []
    assert work.committed() == 0


def test_a_transaction_that_the_broker_has_ended_is_begun_again(
    transport: Transport, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    if "memory" in request.node.name:
        pytest.skip("memory never ends one")
    work = Work(transport)
    batch = work.batch()
    transport.transactions(work.id).close()  # as the broker does when it takes too long
    assert work.delivery.commit(batch, patience=always)
    assert len(set(work.seen(8))) == len(work.seen(8)) == 8
    assert work.committed() == 8
    assert caplog.text.count("what it held is published again") == 1


def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    transport: Transport, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "memory" in request.node.name:
        pytest.skip("memory answers")
    work = Work(transport)
    batch = work.batch()
    commit = type(work.sink).commit

    def unheard(sink: TransactionalSink, offsets: object, member: object) -> None:
        commit(sink, offsets, member)
        raise TransactionError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(work.sink), "commit", unheard)
        assert work.delivery.commit(batch, patience=always)
    assert len(set(work.seen(8))) == len(work.seen(8)) == 8


@pytest.mark.parametrize("count", [60, 120])
def test_a_transaction_that_the_broker_ends_in_the_middle_is_begun_again(
    transport: Transport, request: pytest.FixtureRequest, count: int
) -> None:
    # Once the first of many results is refused, the client sends nothing of the rest, and refuses nothing either.
    if "apache" not in request.node.name:
        pytest.skip("only there a transaction may take too long")
    assert isinstance(transport, Kafka)
    work = Work(transport, timeout_ms=1000)
    batch = work.batch()
    reader = KafkaConsumer(**transport.connection, isolation_level="read_committed")
    wait_for("the end of the transaction", lambda: sum(reader.end_offsets([TopicPartition(work.results, 0)]).values()))
    reader.close()
    values = [b"%d" % i + b"x" * 2000 for i in range(count)]
    results = Outgoing(work.results, values, [None] * count, batch.sources[:1] * count)
    work.delivery.publish([results], patience=briefly())
    assert work.delivery.commit(batch, patience=briefly())
    seen = work.seen(8 + count)
    assert len(set(seen)) == len(seen) == 8 + count


def test_offsets_that_were_refused_are_not_in_the_next_transaction(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "apache" not in request.node.name:
        pytest.skip("only there a member can be out of date")
    work = Work(transport)
    work.batch()
    assert isinstance(transport, Kafka)
    member, former = transport.identities(work.source)
    first, second = Partition(work.input, 0), Partition(work.input, 1)
    with pytest.raises(RefusedError):
        commit(work.sink, transport.terms({first: (4, ""), second: (4, "")}), former)
    work.sink.reset()
    work.sink.begin()
    commit(work.sink, transport.terms({first: (3, "")}), member)
    assert work.source.recall([first, second]) == {first: 3, second: 0}


def test_results_of_a_partition_that_was_handed_over_are_not_published(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "apache" not in request.node.name:
        pytest.skip("only there a group has two members")
    work = Work(transport)
    batch = work.batch()
    other = transport.source(work.input)
    revoked: frozenset[Partition] = frozenset()
    deadline = time.monotonic() + SECONDS
    while not revoked:
        assert time.monotonic() < deadline
        assert not len(work.source.poll(0.1, read=False))
        other.poll(0.1)
        revoked = work.source.changes().revoked
    assert not work.delivery.commit(batch, patience=always)
    assert work.seen(0) == []
    work.delivery.forget(revoked)
    assert work.delivery.commit(Batch(), patience=always)
    (partition,) = {0, 1} - {part.partition for part in revoked}
    assert sorted(work.seen(4), key=str) == [b"result of %d/%d" % (partition, i) for i in range(4)]
    assert work.committed() == 4


def test_what_a_lost_partition_held_is_not_published(transport: Transport) -> None:
    work = Work(transport)
    batch = work.batch()
    work.sink.reset()
    work.delivery._begun = False
    work.delivery.forget([Partition(work.input, 0)])
    rest = Batch()
    work.delivery._uncommitted[Partition(work.input, 1)] = batch.positions[Partition(work.input, 1)]
    assert work.delivery.commit(rest, patience=always)
    assert sorted(work.seen(4), key=str) == [b"result of 1/%d" % i for i in range(4)]
    assert work.committed() == 4


def test_transactions_that_never_end_well_are_given_up(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(transport)
    batch = work.batch()

    def ended(*_: object, **__: object) -> None:
        raise TransactionError("fenced")

    monkeypatch.setattr(type(work.sink), "commit", ended)
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE_SECONDS", 0.0)
    with pytest.raises(DeliveryError, match="10 transactions in a row were not committed, the last one: fenced"):
        work.delivery.commit(batch, patience=always)
    assert work.committed() == 0


def briefly() -> Callable[[], bool]:
    """Patience for a while: what hangs fails."""
    deadline = time.monotonic() + 15
    return lambda: time.monotonic() < deadline


def commit(sink: TransactionalSink, offsets: object, member: object) -> None:
    while True:
        try:
            return sink.commit(offsets, member)
        except NoAnswerError:
            continue


def acknowledged(sink: TransactionalSink) -> None:
    wait_for("acknowledged", lambda: sink.flush(1.0), seconds=SECONDS)
