"""The transport protocols within this process: topics as lists, for tests and to see how the protocols behave."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aestream.errors import TooLargeError, TransactionError, TransportError
from aestream.transport.base import CLOSE_SECONDS, TransactionalSink
from aestream.transport.newest import TAIL, Offsets, Past
from aestream.transport.notes import Note
from aestream.transport.size import too_large
from aestream.types import (
    Batch,
    Changes,
    Headers,
    Membership,
    Outgoing,
    Partition,
    Position,
    Span,
    Standing,
    Start,
    TopicState,
)

DEFAULT_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int = 0  # milliseconds since the epoch


@dataclass
class MemoryBroker:
    """Topics and committed offsets. Share one between sources and sinks."""

    partitions: dict[str, int] = field(default_factory=dict)
    log: dict[Partition, list[Message]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[Partition, int] = field(default_factory=dict)
    notes: dict[Partition, str] = field(default_factory=dict)  # what the last commits say beside the offset
    max_bytes: dict[str, int] = field(default_factory=dict)  # what a topic accepts, if that is less than a sink sends

    def append(self, topic: str, message: Message, partition: int | None = None) -> None:
        """Store a message, by its key if no partition is given. Raises TransportError for an unknown topic."""
        count = self.partitions.get(topic, 0)
        if not count or (partition is not None and partition >= count):
            raise TransportError(f"topic {topic!r} has {count} partitions: create it with `aestream topics create`")
        chosen = hash(message.key) % count if partition is None else partition
        self.log[Partition(topic, chosen)].append(message)

    def of(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of the topics."""
        return [Partition(topic, p) for topic in topics for p in range(self.partitions.get(topic, 0))]


class MemorySource:
    """A Source over a MemoryBroker that starts at the committed offsets."""

    def __init__(self, broker: MemoryBroker, topics: Sequence[str], *, max_records: int = 5000) -> None:
        self._broker = broker
        self._partitions = broker.of(topics)
        self._max_records = max_records
        self._ours = set(broker.committed)
        self._began = self.committed()
        self._next = dict(self._began)
        self._since = time.time()
        self._told = False
        notes = {part: Note.read(broker.notes.get(part)) for part in self._partitions}
        self._standings: Mapping[Partition, Standing] = {
            part: note.standing for part, note in notes.items() if note and note.standing
        }

    def poll(self, timeout: float, *, read: bool = True) -> Batch:  # noqa: ARG002 - nothing to wait for
        """Return what is stored and not yet read, at most `max_records`."""
        room, parts = self._max_records if read else 0, {}
        for partition in self._partitions:
            start = self._next[partition]
            parts[partition] = (start, self._broker.log[partition][start : start + room])
            room -= len(parts[partition][1])
            self._next[partition] += len(parts[partition][1])
        return _batch({p: part for p, part in parts.items() if part[1]})

    def changes(self) -> Changes:
        """All partitions are assigned at the first call, for good."""
        told, self._told = self._told, True
        starts = {part: Start(self._began[part], part in self._ours) for part in self._partitions}
        return Changes() if told else Changes(starts, assigned=self.assigned())

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        """Store the offsets, and before that the messages of a transaction."""
        if within is not None:
            within.commit(positions, None)
        self._broker.committed.update(positions)
        self._broker.notes |= {part: str(Note(standing=self._standings.get(part))) for part in positions}
        return True

    def annotate(self, standings: Mapping[Partition, Standing]) -> None:
        """Keep them for the next commits."""
        self._standings = standings

    def membership(self) -> Membership:
        """Always a member: there is only one."""
        return Membership.MEMBER

    def answers(self) -> bool:
        """Always: memory answers at once."""
        return True

    def joined(self) -> bool:
        """Always: there is no group to wait for."""
        return True

    def assigned(self) -> frozenset[Partition]:
        """All partitions of the topics: there is only one member."""
        return frozenset(self._partitions)

    def committed(self) -> Mapping[Partition, int]:
        """The committed offsets."""
        return {p: self._broker.committed.get(p, 0) for p in self._partitions}

    def recall(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The offsets that the broker has."""
        return {part: self._broker.committed[part] for part in partitions if part in self._broker.committed}

    def positions(self) -> Mapping[Partition, Position]:
        """Count the messages after the committed offset."""
        found, now = {}, time.time()
        for partition in self._partitions:
            log = self._broker.log[partition]
            lag = len(log) - self._broker.committed.get(partition, 0)
            read = log[self._next[partition] - 1].timestamp / 1000 if self._next[partition] else self._since
            found[partition] = Position(lag, max(now - read, 0.0) if lag else 0.0, lag)
        return found

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic."""
        return self._broker.partitions.get(topic, 0)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Do nothing: no connection is open."""


class MemorySink:
    """A Sink into a MemoryBroker; messages appear on `flush`."""

    def __init__(self, broker: MemoryBroker, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._broker = broker
        self._sent: list[tuple[Outgoing, list[int | None]]] = []
        self._max_bytes = max_bytes
        self._learnt: dict[str, int] = {}

    def max_bytes(self, topic: str) -> int:
        """What this sink sends, or less once the topic has refused a message."""
        return self._learnt.get(topic, self._max_bytes)

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Keep the messages until `flush`."""
        self._sent.append((messages, messages.partitions(keep)))

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing to wait for
        """Append everything sent to the topics."""
        sent, self._sent = self._sent, []
        for messages, partitions in sent:
            self._check(messages)
            headers = messages.headers or [()] * len(messages)
            stamps = messages.timestamps or [None] * len(messages)
            columns = zip(messages.values, messages.keys, headers, partitions, stamps, strict=True)
            for value, key, header, partition, stamp in columns:
                message = Message(value, key, header, int(time.time() * 1000) if stamp is None else stamp)
                self._broker.append(messages.topic, message, partition)
        return True

    def _check(self, messages: Outgoing) -> None:
        """Raise TooLargeError for a message that the topic does not accept."""
        limit = min(self._max_bytes, self._broker.max_bytes.get(messages.topic, self._max_bytes))
        for _, size in too_large(messages, limit):
            self._learnt[messages.topic] = limit
            raise TooLargeError(f"topic {messages.topic} refuses a message of {size} bytes: it is too large")

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Raises TransportError when it does not exist."""
        if topic not in self._broker.partitions:
            raise TransportError(f"topic {topic} does not exist: create it first")
        return self._broker.partitions[topic]

    def close(self, timeout: float = CLOSE_SECONDS) -> None:  # noqa: ARG002 - nothing to wait for
        """Drop what was not flushed."""
        self._sent.clear()


class MemoryTransactionalSink(MemorySink):
    """The same with transactions: messages appear on `commit`."""

    def __init__(self, broker: MemoryBroker, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        super().__init__(broker, max_bytes=max_bytes)
        self._begun = False

    @property
    def ending(self) -> bool:
        """Never: a commit is over at once."""
        return False

    def begin(self) -> None:
        """Begin a transaction. Raises TransactionError if there is one."""
        if self._begun:
            raise TransactionError("the last transaction is not over")
        self._begun = True

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Keep the messages until `commit`. Raises TransactionError outside of a transaction."""
        if not self._begun:
            raise TransactionError("no transaction has begun")
        super().send(messages, keep=keep)

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing to wait for
        """Check what was sent; it stays hidden."""
        for messages, _ in self._sent:
            self._check(messages)
        return True

    def commit(self, offsets: Any, member: Any) -> None:  # noqa: ARG002 - the source keeps its offsets
        """Append everything sent to the topics."""
        super().flush(0.0)
        self._begun = False

    def abort(self) -> bool:
        """Drop what was not committed."""
        self.reset()
        return True

    def reset(self) -> None:
        """Drop what was not committed."""
        self._sent.clear()
        self._begun = False


class MemoryHistory:
    """A History over a MemoryBroker."""

    def __init__(self, broker: MemoryBroker, topics: Sequence[str]) -> None:
        self._broker = broker
        self._topics = topics

    def read(self, *, records: int, period: float | None) -> Iterator[Batch]:
        """Yield one batch per partition."""
        for partition, start in self._past(period).newest(records).items():
            if start < len(log := self._broker.log[partition]):
                yield _batch({partition: (start, log[start:])})

    def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """From 0 to the number of messages: none is ever deleted."""
        return {partition: (0, len(self._broker.log[partition])) for partition in partitions}

    def between(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[Batch]:
        """Yield one batch per partition."""
        for partition, start in starts.items():
            if start < ends[partition]:
                yield _batch({partition: (start, self._broker.log[partition][start : ends[partition]])})

    def follow(self, *, last: int) -> Iterator[Batch]:
        """Yield what was added since the last batch, without waiting."""
        starts = self._past(None).newest(last)
        while True:
            new = {partition: (start, self._broker.log[partition][start:]) for partition, start in starts.items()}
            starts = {partition: start + len(part) for partition, (start, part) in new.items()}
            yield _batch({partition: found for partition, found in new.items() if found[1]})

    def _past(self, period: float | None) -> Past:
        """What the partitions hold now."""
        stamps = {
            partition: np.array([message.timestamp for message in self._broker.log[partition]], np.int64)
            for partition in self._broker.of(self._topics)
        }

        def find(wanted: Offsets) -> dict[Partition, int]:
            return {p: int(np.maximum.accumulate(stamps[p]).searchsorted(stamp)) for p, stamp in wanted.items()}

        ends = {partition: len(times) for partition, times in stamps.items()}
        tails = {partition: times[-TAIL:].tolist() for partition, times in stamps.items()}
        now = int(time.time() * 1000)
        return Past.of(dict.fromkeys(ends, 0), ends, tails, find, now=now, period=period)


class MemoryTopics:
    """Topics over a MemoryBroker: there are no users, so nothing is refused."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def describe(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """Look each name up, or all that match a pattern."""
        there = self._broker.partitions
        if names[0].startswith("^"):
            names = sorted(name for name in there if re.match(names[0], name))
        return {n: TopicState(n, there.get(n, 0), max_bytes=self._broker.max_bytes.get(n)) for n in names}

    def group_refusal(self, group_id: str) -> str | None:  # noqa: ARG002 - there is one group
        """Never refused: there are no users."""
        return None

    def standings(self, group_id: str) -> Mapping[Partition, Standing]:  # noqa: ARG002 - there is one group
        """Read what the last commits say."""
        notes = {part: Note.read(text) for part, text in self._broker.notes.items()}
        return {part: note.standing for part, note in notes.items() if note and note.standing}

    def create(
        self,
        names: Sequence[str],
        *,
        partitions: int,
        replication: int,  # noqa: ARG002 - there is one copy
        configs: Mapping[str, str] | None = None,  # noqa: ARG002 - nothing is ever deleted
    ) -> list[str]:
        """Add the missing topics, by default with one partition."""
        made = [name for name in names if name not in self._broker.partitions]
        self._broker.partitions.update(dict.fromkeys(made, max(partitions, 1)))
        return made

    def grow(self, partitions: Mapping[str, int]) -> None:
        """Set the numbers of partitions."""
        self._broker.partitions.update(partitions)

    def delete(self, names: Sequence[str], *, group_id: str | None = None) -> None:
        """Drop topics with their records, and all committed offsets with a group."""
        for partition in self._broker.of(names):
            self._broker.log.pop(partition, None)
        for name in names:
            self._broker.partitions.pop(name, None)
        if group_id is not None:
            self._broker.committed.clear()
            self._broker.notes.clear()


def _batch(parts: Mapping[Partition, tuple[int, Sequence[Message]]]) -> Batch:
    """Columns from the messages of each partition, given with the offset of the first."""
    spans: list[Span] = []
    offsets: list[int] = []
    messages: list[Message] = []
    for partition, (start, part) in parts.items():
        spans.append(Span(partition, len(messages), len(messages) + len(part)))
        offsets.extend(range(start, start + len(part)))
        messages.extend(part)
    return Batch(
        spans,
        offsets,
        [m.timestamp for m in messages],
        [m.key for m in messages],
        [m.value for m in messages],
        [m.headers for m in messages],
    )
