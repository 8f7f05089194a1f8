"""Exactly-once where something is interrupted: what is held is published once, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from aestream.errors import DeliveryError, NoAnswerError, TransactionError, TransportError
from aestream.transport import delivery as module
from aestream.transport.delivery import ExactlyOnce
from aestream.transport.memory import MemoryBroker, MemorySink, MemorySource, MemoryTransactionalSink, Message
from aestream.types import Batch, Outgoing, Partition

IN, OUT, STATE = Partition("in", 0), Partition("out", 0), Partition("state", 0)


class Sink(MemoryTransactionalSink):
    """A sink whose broker is slow, away, or ends a transaction; while a commit is under way, nothing can be added."""

    slow = 0  # how many times a commit has no answer yet
    away = 0  # how many resets fail
    lost = False  # the answer to the next commit is
    deaf: str | None = None  # the topic that acknowledges nothing

    _pending = False

    @property
    def ending(self) -> bool:
        return self._pending

    def send(self, messages: Outgoing, **settings: Any) -> None:
        if self._pending:
            raise DeliveryError("Cannot call send in state COMMITTING_TRANSACTION")
        super().send(messages, **settings)

    def flush(self, timeout: float) -> bool:
        return self.deaf not in {messages.topic for messages, _ in self._sent} and super().flush(timeout)

    def commit(self, offsets: Any, member: Any) -> None:
        self._pending = True
        self.slow -= 1
        if self.slow >= 0:
            raise NoAnswerError("no answer")
        super().commit(offsets, member)
        self._pending = False
        if self.lost:
            self.lost = False
            raise TransactionError("the answer is lost")

    def reset(self) -> None:
        self.away -= 1
        if self.away >= 0:
            raise TransportError("no broker answers")
        self._pending = False
        super().reset()


class Source(MemorySource):
    """A source that has its offsets in the transaction, even if the answer is lost."""

    def commit(self, positions: Any, *, within: Any = None) -> bool:
        try:
            return super().commit(positions, within=within)
        except TransactionError:
            return super().commit(positions) and self._raise()

    def _raise(self) -> bool:
        raise TransactionError("the answer is lost")


class World:
    def __init__(self) -> None:
        self.broker = MemoryBroker({"in": 1, "out": 1, "state": 1})
        self.source = Source(self.broker, ["in"], max_records=2)
        self.sink = Sink(self.broker)
        self.delivery = ExactlyOnce(self.source, self.sink)

    def batch(self) -> Batch:
        for _ in range(2):
            self.broker.append("in", Message(b"x"), 0)
        batch = self.source.poll(0)
        values: list[bytes | None] = [b"%d" % offset for offset in batch.offsets]
        self.delivery.publish([Outgoing("out", values, [None] * 2, [IN] * 2)], patience=always)
        return batch

    def seen(self, place: Partition = OUT) -> list[bytes | None]:
        return [message.value for message in self.broker.log[place]]


def always() -> bool:
    return True


def gone() -> bool:
    raise TransportError("topic state was created again")


def entry() -> Outgoing:
    return Outgoing("state", [b"entry"], [b"key"], [STATE], owner=IN)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.0)
    return World()


def test_a_commit_that_was_not_waited_for_ends_before_the_next_batch(world: World) -> None:
    # The topic for state is gone while the commit of what is remembered has no answer: no reason for a worker to end.
    world.sink.slow = 2
    with pytest.raises(TransportError, match="created again"):
        world.delivery.record([entry()], patience=gone)
    assert world.delivery.commit(world.batch(), patience=always)
    assert world.seen(STATE) == [b"entry"]
    assert world.seen() == [b"0", b"1"]


def test_what_such_a_commit_held_may_be_taken_away(world: World) -> None:
    world.sink.slow = 1
    with pytest.raises(TransportError, match="created again"):
        world.delivery.record([entry()], patience=gone)
    world.delivery.forget({IN})
    assert world.delivery.commit(world.batch(), patience=always)
    assert world.seen(STATE) == []
    assert world.seen() == [b"0", b"1"]


def test_without_patience_a_commit_under_way_is_left_alone(world: World) -> None:
    batch = world.batch()
    world.sink.slow = 3
    assert not world.delivery.commit(batch, patience=lambda: False)
    with pytest.raises(DeliveryError, match="did not acknowledge"):
        world.delivery.publish([entry()], patience=lambda: False)
    assert world.delivery.commit(Batch(), patience=always)
    assert world.seen() == [b"0", b"1"]
    assert world.seen(STATE) == []


def test_an_end_that_could_not_be_learnt_is_asked_for_later(world: World) -> None:
    # The answer to a commit is lost, and then the broker is away until nobody waits any longer.
    batch = world.batch()
    world.sink.lost, world.sink.away = True, 1
    with pytest.raises(TransportError, match="created again"):
        world.delivery.commit(batch, patience=gone)
    assert world.delivery.commit(Batch(), patience=always)
    assert world.delivery.commit(world.batch(), patience=always)
    assert world.seen() == [b"0", b"1", b"2", b"3"]


def test_a_topic_for_state_that_acknowledges_nothing_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OUTLET_SECONDS", 0.05)
    world.sink.deaf = "state"
    outlet = world.delivery.outlet(lambda: MemorySink(world.broker))
    asked = iter(range(10**6))  # a patience that would be the worker's: only a stop ends it
    with pytest.raises(DeliveryError, match="did not acknowledge"):
        outlet.record([entry()], patience=lambda: next(asked) < 10**6 - 1)
    assert world.delivery.commit(world.batch(), patience=always)
    assert world.seen() == [b"0", b"1"]
    assert world.seen(STATE) == []
