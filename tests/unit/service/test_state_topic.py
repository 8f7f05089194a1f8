"""The topic that keeps what is remembered: whether it can be used, what is told of it, how long it is waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from aestream.errors import DeliveryError, TransportError
from aestream.service import state_topic
from aestream.service.service import Service
from aestream.service.state_topic import StateTopic
from aestream.state.entries import Address, Messages, Reader
from aestream.state.partition import LAYOUT
from aestream.transport.base import CLOSE_SECONDS, Outlet
from aestream.transport.delivery import AtLeastOnce
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemorySink, MemorySource, MemoryTopics
from aestream.types import Partition, TopicState

PART = Partition("in", 5)


class Topics(MemoryTopics):
    """Describes the state topic as told."""

    told: TopicState | None = None
    asked = 0

    def describe(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        self.asked += 1
        found = super().describe(names)
        return found if self.told is None else {name: replace(self.told, name=name) for name in found}


class Silent(MemorySink):
    """Never acknowledges anything."""

    closed = 0

    def flush(self, timeout: float) -> bool:  # noqa: ARG002
        return False

    def close(self, timeout: float = CLOSE_SECONDS) -> None:  # noqa: ARG002
        self.closed += 1


@dataclass
class Setting:
    stored: MemoryBroker = field(default_factory=lambda: MemoryBroker({"state": 2, "in": 6}))
    service: Service = field(default_factory=lambda: Service(stale_after=60))
    name: str | None = "state"
    sink: type[MemorySink] = MemorySink

    def __post_init__(self) -> None:
        self.topics = Topics(self.stored)
        self.opened: list[MemorySink] = []
        self.topic = StateTopic(
            self.name,
            topics=self.topics,
            history=MemoryHistory(self.stored, ["in"]),
            open_outlet=self.open,
            remedy="create it",
            service=self.service,
            drain_timeout=0.0,
        )

    def open(self, limits: Mapping[str, int]) -> Outlet:  # noqa: ARG002
        self.opened.append(self.sink(self.stored))
        source = MemorySource(self.stored, ["in"])
        return AtLeastOnce(source, self.opened[-1]).outlet(lambda: self.opened[-1])


def test_none_is_never_looked_for(caplog: pytest.LogCaptureFixture) -> None:
    setting = Setting(name=None)
    assert not setting.topic.usable()
    assert not setting.topics.asked
    assert not caplog.text


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (TopicState(""), "does not exist: create it"),
        (TopicState("", hidden=True), "is not shown to this user"),
        (TopicState("", 2, frozenset({"READ", "DESCRIBE"})), "grant WRITE on it"),
        (TopicState("", 2, frozenset({"WRITE", "DESCRIBE"})), "grant READ on it"),
        (TopicState("", 2, max_bytes=2000), "raise its max.message.bytes"),
    ],
)
def test_what_is_wrong_with_it_is_told_once_and_when_it_is_not_any_more(
    told: TopicState, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    setting = Setting()
    setting.topic.expect(1500)
    setting.topics.told = told
    assert not setting.topic.usable()
    assert not setting.topic.usable()
    assert setting.topics.asked == 1  # not more than once a minute
    monkeypatch.setattr(state_topic, "_RETRY_SECONDS", 0.0)
    setting.topic.give_up(TransportError("again"))
    caplog.clear()
    assert not setting.topic.usable()
    assert not setting.topic.usable()
    assert caplog.text.count(why) == 1
    setting.topics.told = None
    assert setting.topic.usable()
    assert "kept in state from now on" in caplog.text


def test_messages_of_a_partition_go_to_one_and_are_read_from_there() -> None:
    setting = Setting()
    assert setting.topic.usable()
    setting.topic.send(PART, Messages([b'["group","in","",5,"x"]'], [b"v"]))
    setting.topic.flush()
    assert [message.value for message in setting.stored.log[Partition("state", 1)]] == [b"v"]
    reader = Reader(Address("group", *PART[:1], "", PART[1]), np.dtype(LAYOUT))
    assert sum(setting.topic.read({("group", PART): reader})) == 1
    assert reader.useless == {b'["group","in","",5,"x"]'}


def test_without_it_nothing_can_be_sent() -> None:
    with pytest.raises(TransportError, match="cannot be used"):
        Setting().topic.send(PART, Messages([b"k"], [b"v"]))


def test_one_that_was_created_again_does_not_acknowledge() -> None:
    setting = Setting(sink=Silent)
    setting.topics.told = TopicState("", 2, id="one")
    assert setting.topic.usable()
    setting.topic.send(PART, Messages([b"k"], [b"v"]))
    setting.topics.told = TopicState("", 2, id="two")
    with pytest.raises(TransportError, match="was created again"):
        setting.topic.flush()


def test_at_the_end_it_is_not_looked_for_and_waited_for_no_longer_than_is_allowed() -> None:
    setting = Setting(sink=Silent)
    assert setting.topic.usable()
    setting.topic.send(PART, Messages([b"k"], [b"v"]))
    setting.service.stop.set()
    asked = setting.topics.asked
    with pytest.raises(DeliveryError, match="did not acknowledge"):
        setting.topic.flush()
    setting.topic.give_up(DeliveryError("away"))
    setting.topic._again = 0.0
    assert not setting.topic.usable()
    assert setting.topics.asked == asked
    assert [sink.closed for sink in setting.opened if isinstance(sink, Silent)] == [1]
