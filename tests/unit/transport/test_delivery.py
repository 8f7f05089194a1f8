"""At-least-once: what is committed is published, and what could not be committed is tried again."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from aestream.errors import DeliveryError, NoAnswerError
from aestream.transport.base import TransactionalSink
from aestream.transport.delivery import AtLeastOnce
from aestream.transport.memory import MemoryBroker, MemorySink, MemorySource, Message
from aestream.types import Outgoing, Partition

FIRST, SECOND = Partition("in", 0), Partition("in", 1)


class RebalancingSource(MemorySource):
    """A source whose group may be in the middle of a rebalance."""

    rebalancing = False
    silent = 0  # how many commits get no answer

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        self.silent -= 1
        if self.silent >= 0:
            raise NoAnswerError("no answer")
        return not self.rebalancing and super().commit(positions, within=within)


class SlowSink(MemorySink):
    """A sink whose broker acknowledges nothing for a while."""

    silent = 0

    def flush(self, timeout: float) -> bool:
        self.silent -= 1
        return self.silent < 0 and super().flush(timeout)


def _for_ever() -> bool:
    return True


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker({"in": 2, "out": 1})
    for partition in (0, 1):
        for i in range(3):
            made.append("in", Message(b"%d" % i), partition)
    return made


def test_an_outage_is_waited_out_while_there_is_patience(broker: MemoryBroker) -> None:
    source, sink = RebalancingSource(broker, ["in"]), SlowSink(broker)
    sink.silent = 5
    asked = itertools.count(1)
    delivery = AtLeastOnce(source, sink)
    delivery.publish([Outgoing("out", [b"r"], [None], [FIRST])], patience=lambda: next(asked) > 0)
    assert next(asked) == 6
    assert [message.value for message in broker.log[Partition("out", 0)]] == [b"r"]


def test_without_patience_nothing_is_committed(broker: MemoryBroker) -> None:
    source, sink = RebalancingSource(broker, ["in"]), SlowSink(broker)
    sink.silent = 5
    delivery = AtLeastOnce(source, sink)
    source.poll(0)
    with pytest.raises(DeliveryError, match="did not acknowledge"):
        delivery.publish([Outgoing("out", [b"r"], [None], [FIRST])], patience=lambda: False)
    assert not delivery.uncommitted
    assert broker.committed == {}


def test_a_refused_commit_is_made_up_for(broker: MemoryBroker) -> None:
    source = RebalancingSource(broker, ["in"], max_records=3)
    delivery = AtLeastOnce(source, MemorySink(broker))
    source.rebalancing = True
    assert not delivery.commit(source.poll(0), patience=_for_ever)
    assert delivery.uncommitted == {FIRST: 3}
    source.rebalancing = False
    assert delivery.commit(source.poll(0), patience=_for_ever)
    assert broker.committed == {FIRST: 3, SECOND: 3}
    assert not delivery.uncommitted


def test_a_partition_that_went_away_is_not_committed(broker: MemoryBroker) -> None:
    source = RebalancingSource(broker, ["in"])
    delivery = AtLeastOnce(source, MemorySink(broker))
    source.rebalancing = True
    assert not delivery.commit(source.poll(0), patience=_for_ever)
    source.rebalancing = False
    delivery.forget({FIRST})
    assert delivery.commit(source.poll(0), patience=_for_ever)
    assert broker.committed == {SECOND: 3}


def test_a_commit_without_an_answer_is_asked_for_again(broker: MemoryBroker) -> None:
    source = RebalancingSource(broker, ["in"])
    source.silent = 3
    asked = itertools.count(1)
    delivery = AtLeastOnce(source, MemorySink(broker))
    assert delivery.commit(source.poll(0), patience=lambda: next(asked) > 0)
    assert next(asked) == 4
    assert broker.committed == {FIRST: 3, SECOND: 3}


def test_a_commit_without_an_answer_is_kept_when_patience_ends(broker: MemoryBroker) -> None:
    source = RebalancingSource(broker, ["in"])
    source.silent = 3
    delivery = AtLeastOnce(source, MemorySink(broker))
    assert not delivery.commit(source.poll(0), patience=lambda: False)
    assert delivery.uncommitted == {FIRST: 3, SECOND: 3}
    assert broker.committed == {}
