"""What `Places` asks of a consumer over librdkafka, and how it hears of rebalances.

librdkafka offers a member what its group gives it in a callback, within `consume`, and reads nothing of that before it
is told from where. So the callback only takes notes, and `begin_at` tells it once the starts are known and committed.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from aestream.errors import NoAnswerError
from aestream.transport.librdkafka.errors import broker_errors, explained
from aestream.transport.librdkafka.waiting import Call
from aestream.transport.places import ANSWER_SECONDS, Stored
from aestream.transport.wording import Connection
from aestream.types import Membership, Partition

_END, _BEGIN = -1, -2  # in place of a timestamp: the protocol's own way to ask for the ends
_METADATA = "CGMDv2:"
_FRESH_SECONDS = 3.0
_COMMIT_SECONDS = 1.0

_Answer = TypeVar("_Answer")


class ConfluentMember:
    """A consumer as a member of its group: what it was given, and whether it is in there.

    `asker` is another consumer, which joins nothing. The client does one thing at a time, and a question would wait
    behind a fetch in the connection to a broker; so questions have a client and connections of their own.
    """

    def __init__(self, consumer: Consumer, asker: Consumer, connection: Connection) -> None:
        self._consumer = consumer
        self._asker = asker
        self._connection = connection
        self._given: set[Partition] = set()
        self._gone: list[tuple[Partition, bool]] = []  # taken away since the last look, and whether they were lost
        self._reading: set[Partition] = set()
        self._positions: dict[Partition, int] = {}  # where nothing was left to read
        self._membership = Membership.JOINING
        self._counts: dict[str, int] = {}
        self._committing: tuple[Mapping[Partition, Stored], Call[Any]] | None = None
        self._asking: Call[None] | None = None
        self._calls: list[Call[Any]] = []
        self._ends: Mapping[Partition, int] = {}
        self._answered = 0.0  # when the broker last answered a question

    # What librdkafka calls, on our own thread, within `consume`.

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Note what the group gives to this member; nothing of that is read yet."""
        consumer.incremental_assign([])
        self._given.update(Partition(part.topic, part.partition) for part in partitions)
        self._membership = Membership.MEMBER

    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Give up what another member is to have."""
        self._give_up(consumer, partitions, lost=False)

    def on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Give up what the group took away."""
        self._give_up(consumer, partitions, lost=True)

    def on_statistics(self, text: str) -> None:
        """Learn whether this member is in its group."""
        state = json.loads(text).get("cgrp", {})
        if state.get("join_state") in {"steady", "wait-assign-call"}:
            self._membership = Membership.MEMBER
        elif state.get("state") == "up":
            self._membership = Membership.JOINING
        else:
            self._membership = Membership.OUTSIDE

    def _give_up(self, consumer: Consumer, partitions: list[TopicPartition], *, lost: bool) -> None:
        gone = [Partition(part.topic, part.partition) for part in partitions]
        consumer.incremental_unassign([TopicPartition(*part) for part in gone if part in self._reading])
        self._given.difference_update(gone)
        self._reading.difference_update(gone)
        self._gone += ((part, lost) for part in gone)
        self._membership = Membership.JOINING

    # What the source asks.

    @property
    def membership(self) -> Membership:
        """As of the last callback, and of the statistics of the last second."""
        return self._membership

    def gone(self) -> Iterator[tuple[Partition, bool]]:
        """The partitions that were taken away since the last call, and whether they were lost."""
        gone, self._gone = self._gone, []
        return iter(gone)

    def reached(self, partition: Partition, position: int) -> None:
        """Nothing of a partition is left to read before this offset."""
        self._positions[partition] = position

    def identity(self) -> bytes | None:
        """This member's name and generation for a transaction; None while it has none.

        Without a generation, the broker would take it for a program that is in no group, and not refuse it.
        """
        told: bytes = self._consumer.consumer_group_metadata()
        (generation,) = struct.unpack_from("<i", told, len(_METADATA))
        return told if generation >= 0 else None

    def metadata(self, topics: Collection[str], timeout: float) -> Mapping[str, int]:
        """The partitions of these topics, or of all without any; 0 for one that does not exist or is not shown."""
        asked = [self._asker.list_topics(topic, timeout=timeout) for topic in topics] or [
            self._asker.list_topics(timeout=timeout)
        ]
        for told in asked:
            for name, topic in told.topics.items():
                if topic.error is not None and topic.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    if not topics or topic.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                        continue
                    raise explained(topic.error, self._connection, about=name)
                self._counts[name] = len(topic.partitions)
        if not topics:  # others are gone
            self._counts = {name: self._counts[name] for name in asked[0].topics if name in self._counts}
        return self._counts

    # What Places asks.

    def mine(self) -> Collection[Partition]:
        """What the group has given to this member."""
        return self._given

    def partitions_of(self, topic: str) -> Collection[int]:
        """Ask for the topic, which may have more than it had."""
        with broker_errors(self._connection):
            return range(self.metadata([topic], ANSWER_SECONDS).get(topic, 0))

    def count(self, topic: str) -> int:
        """The number of partitions as it was last told; 0 if it never was, or a partition was given that came since."""
        known = self._counts.get(topic, 0)
        return known if all(part.partition < known for part in self._given if part.topic == topic) else 0

    def stored(self, partitions: Collection[Partition]) -> Mapping[Partition, Stored]:
        """Ask the group's coordinator."""
        if not partitions:
            return {}
        with broker_errors(self._connection):
            answers = self._consumer.committed([TopicPartition(*part) for part in partitions], timeout=ANSWER_SECONDS)
            self._need(answers)
        return {
            Partition(one.topic, one.partition): (one.offset, one.metadata or "") for one in answers if one.offset >= 0
        }

    def begins(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the leaders."""
        return self._offsets(partitions, _BEGIN)

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the leaders."""
        return self._offsets(partitions, _END)

    def recent_ends(self, partitions: Collection[Partition], *, timeout: float) -> Mapping[Partition, int]:
        """Ask the leaders in the background, and return what they said the last time; wait if that was never."""
        self._ask(partitions)
        if self._asking is not None and self._ends.keys() < set(partitions):
            self._asking.over(timeout)
        return {part: self._ends[part] for part in partitions if part in self._ends} if self.answered() else {}

    def answers(self, partitions: Collection[Partition], *, timeout: float) -> bool:
        """Whether the broker has answered in the last seconds, or answers now: where these partitions end."""
        if not self.answered():
            self._ask(partitions)
            if self._asking is not None:
                self._asking.over(timeout)
        return self.answered()

    def answered(self) -> bool:
        """Whether the broker has answered a question of the last seconds."""
        return time.monotonic() - self._answered < _FRESH_SECONDS

    def look_up(self, topics: Collection[str]) -> Call[Mapping[str, int]]:
        """Ask for the partitions of topics, or of all, in the background."""
        return self._call(lambda: self.metadata(topics, ANSWER_SECONDS))

    def quiet(self, timeout: float) -> bool:
        """Wait until no question is under way, for so many seconds; whether that is so."""
        until = time.monotonic() + timeout
        return all(call.over(max(until - time.monotonic(), 0.0)) for call in self._calls)

    def _ask(self, partitions: Collection[Partition]) -> None:
        """Ask for the ends of partitions, unless that is under way.

        librdkafka gives up a connection if an answer comes later than it was told to wait. So nobody waits here.
        """

        def ask() -> None:
            self._asker.poll(0.0)  # serves what it has to say
            self._ends = self.ends(partitions)

        if self._asking is None or self._asking.over(0.0):
            self._asking = self._call(ask)

    def _call(self, work: Callable[[], _Answer]) -> Call[_Answer]:
        call = Call(work)
        self._calls = [call, *(one for one in self._calls if not one.over(0.0))]
        return call

    def commit(self, offsets: Mapping[Partition, Stored]) -> None:
        """Commit, and wait a second for the answer. To call again is to go on waiting, if the offsets are the same."""
        former = self._committing
        if former is not None and former[0] != offsets:
            if not former[1].over(_COMMIT_SECONDS):
                raise NoAnswerError("the broker did not answer a commit")
            former = None
        if former is None:
            told = in_librdkafkas_terms(offsets)
            former = dict(offsets), self._call(lambda: self._consumer.commit(offsets=told, asynchronous=False))
        self._committing, call = former, former[1]
        try:
            with broker_errors(self._connection):
                self._need(call.wait(_COMMIT_SECONDS))
        finally:
            if call.over(0.0):
                self._committing = None

    def begin_at(self, starts: Mapping[Partition, int]) -> None:
        """Let librdkafka read partitions from these offsets on."""
        with broker_errors(self._connection):
            self._consumer.incremental_assign([TopicPartition(*part, offset) for part, offset in starts.items()])
        self._reading.update(starts)
        for part in starts:
            self._positions.pop(part, None)

    def seek(self, partition: Partition, offset: int) -> None:
        """Give the partition back to librdkafka at another place."""
        if partition in self._reading:
            with broker_errors(self._connection):
                self._consumer.incremental_unassign([TopicPartition(*partition)])
            self.begin_at({partition: offset})

    def position(self, partition: Partition) -> int | None:
        """The last end that was reached."""
        return self._positions.get(partition)

    def last_seen_end(self, partition: Partition) -> int:
        """The high watermark of the last fetch."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        except KafkaException:
            return 0
        return max(int(high), 0)

    def _offsets(self, partitions: Collection[Partition], which: int) -> Mapping[Partition, int]:
        with broker_errors(self._connection):
            answers = self._asker.offsets_for_times(
                [TopicPartition(*part, which) for part in partitions], timeout=ANSWER_SECONDS
            )
            self._need(answers)
        self._answered = time.monotonic()
        return {Partition(one.topic, one.partition): one.offset for one in answers}

    def _need(self, answers: Collection[TopicPartition]) -> None:
        """Raise the first error of an answer."""
        for one in answers:
            if one.error is not None:
                raise explained(one.error, self._connection, about=f"{one.topic}/{one.partition}")


def in_librdkafkas_terms(offsets: Mapping[Partition, Stored]) -> list[TopicPartition]:
    """Offsets and notes as the client takes them."""
    return [TopicPartition(*part, offset, note) for part, (offset, note) in offsets.items()]
