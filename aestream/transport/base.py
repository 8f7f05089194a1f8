"""What a transport does, in batches.

`Source` and `Sink` carry the stream, `Delivery` decides when an offset is committed, `History` reads a topic's past,
and `Topics` describes topics and creates them. A `TransactionalSink` also commits offsets, together with its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aestream.types import Batch, Changes, Membership, Outgoing, Partition, Position, Standing, TopicState

CLOSE_SECONDS = 10.0


class Source(Protocol):
    """The input topics, read as a member of a consumer group. Used by one thread."""

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        """Wait up to `timeout` seconds for records. May be empty; offsets ascend in each partition.

        A batch has no records of a partition before `changes` reports that it was assigned. Without `read`, it is
        empty: this member only takes part in its group. Raises TransportError when the broker or a topic cannot be used
        at all; does not raise while a broker is away.
        """
        ...

    def changes(self) -> Changes:
        """How this member's partitions have changed since the last call: call it after each poll.

        Rebalances are reported here alone, on the caller's thread: revoked and lost partitions first.
        """
        ...

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        """Commit offsets for partitions that are still assigned here. False: refused because of a rebalance.

        `within` the transaction of a sink, its messages are committed with them; that is refused as a whole if one of
        the partitions is not assigned here any more. Raises NoAnswerError when it is not known whether the broker
        accepted them: call again. Raises TransactionError as the sink does.
        """
        ...

    def annotate(self, standings: Mapping[Partition, Standing]) -> None:
        """What commits are to say of these partitions from now on, beside the offset; nothing of others.

        Before the first call, they say what the last commit of a partition said.
        """
        ...

    def membership(self) -> Membership:
        """This member's place in its group."""
        ...

    def answers(self) -> bool:
        """Whether the broker answers a small question within a second."""
        ...

    def joined(self) -> bool:
        """Whether this member has joined the group, and knows where each of its partitions, if any, starts."""
        ...

    def assigned(self) -> frozenset[Partition]:
        """The partitions that this member has now."""
        ...

    def committed(self) -> Mapping[Partition, int]:
        """The committed offset of each assigned partition, as far as this member knows."""
        ...

    def recall(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the broker for the committed offsets of partitions; nothing for those that have none.

        Raises NoAnswerError when it does not answer: call again.
        """
        ...

    def positions(self) -> Mapping[Partition, Position]:
        """How far the commits of each assigned partition lag behind its end."""
        ...

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, 0 while unknown. Does not wait."""
        ...

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Leave the group and close the connections, in `timeout` seconds. Commits nothing.

        A second call does nothing.
        """
        ...


class Sink(Protocol):
    """The output topics. Used by one thread."""

    def max_bytes(self, topic: str) -> int:
        """The largest message that a topic is known to accept: key, value, headers and framing together."""
        ...

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Hand messages over. They are delivered once `flush` has returned.

        A message keeps the partition number of its source if that is in a topic of `keep`, or in the message's own
        topic; otherwise its key chooses the partition.
        """
        ...

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until everything sent so far is acknowledged; False if it takes longer.

        Raises DeliveryError when a message was refused for good, TooLargeError when it may be accepted if smaller.
        """
        ...

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Raises TransportError when it does not exist."""
        ...

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Close the connections, in `timeout` seconds. What was not flushed may be lost. A second call does nothing."""
        ...


class TransactionalSink(Sink, Protocol):
    """A sink whose messages appear, to those who read committed ones only, with the offsets that belong to them.

    `flush` raises TransactionError as well, when the broker has ended the transaction.
    """

    @property
    def ending(self) -> bool:
        """Whether a commit has begun, and is not known to be over."""
        ...

    def begin(self) -> None:
        """Begin a transaction. Raises TransactionError."""
        ...

    def commit(self, offsets: Any, member: Any) -> None:
        """Commit the messages with these offsets, both in the client's own terms; a member that was replaced may not.

        If a commit is `ending`, wait for that instead. Raises NoAnswerError when there is no answer in time,
        TransactionError when the transaction was ended by the broker, or its end is unknown, and RefusedError (of
        `transport.places`) when the member may not commit.
        """
        ...

    def abort(self) -> bool:
        """Abort the transaction, if there is one; False if that is not over soon, or not possible: then, `reset`."""
        ...

    def reset(self) -> None:
        """End whatever transaction there is: it is aborted, unless its commit has begun.

        Raises TransportError when no broker answers: call again.
        """
        ...


class Bookmarks(Protocol):
    """How far a command has got in a topic: the offsets of a group that nobody joins, each with a note."""

    def read(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, str]]:
        """Read the offsets and notes of these partitions, of those that have one.

        Raises TransportError when they cannot be read.
        """
        ...

    def move(self, places: Mapping[Partition, tuple[int, str]], within: TransactionalSink) -> None:
        """Commit the messages of a transaction with these offsets and notes. Raises what `within.commit` raises."""
        ...


class Delivery(Protocol):
    """Publishes the results of a batch, and commits it. The order of the two is the guarantee."""

    @property
    def aborted(self) -> int:
        """How many transactions were not committed, so that what they held was published again."""
        ...

    def publish(
        self, results: Sequence[Outgoing], *, patience: Callable[[], bool], topic_by_topic: bool = False
    ) -> None:
        """Publish all results of a batch; in a transaction, they appear with `commit`.

        Raises DeliveryError when a result is refused, or when `patience`, called about once a second while the broker
        does not answer, returns False. TooLargeError asks for smaller results; if it does not name the topic, it will
        when they are published again `topic_by_topic`.
        """
        ...

    def record(self, messages: Sequence[Outgoing], *, patience: Callable[[], bool]) -> None:
        """Publish messages that belong to no batch. Raises what `publish` raises."""
        ...

    def outlet(self, open_sink: Callable[[], Sink]) -> Outlet:
        """A way to publish messages whose failure does no harm to batches, through another sink if that takes one."""
        ...

    def commit(self, batch: Batch, *, patience: Callable[[], bool]) -> bool:
        """Commit a batch whose results are published. False: refused, or `patience` ended the wait.

        What could not be committed is tried again with the next call, unless its partition is forgotten before that.
        """
        ...

    def forget(self, partitions: Collection[Partition]) -> None:
        """Partitions were taken away, even if they came back at once: commit nothing that was read before."""
        ...


class Outlet(Protocol):
    """A way to publish messages that belong to no batch."""

    def record(self, messages: Sequence[Outgoing], *, patience: Callable[[], bool]) -> None:
        """Publish messages; raises as a `Delivery` does."""
        ...

    def close(self) -> None:
        """Let go of what was opened for this. A second call does nothing."""
        ...


class History(Protocol):
    """The past of topics, read without a consumer group: it joins nothing and commits nothing."""

    def read(self, *, records: int, period: float | None) -> Iterator[Batch]:
        """Stream at most `records` records, the newest of all partitions; with `period`, none older in seconds.

        Offsets without a record, such as those that compaction leaves, do not count. Where a partition's timestamps
        tell no time, its share of the records is chosen by offset. Raises TransportError when a topic cannot be read.
        """
        ...

    def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """The first offset of each partition, and the one after its last record.

        Raises TransportError when they cannot be read.
        """
        ...

    def between(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[Batch]:
        """Stream the records of partitions, of any topics, from these offsets to those. Raises as `read` does."""
        ...

    def follow(self, *, last: int) -> Iterator[Batch]:
        """Stream the newest `last` records of all partitions, then what arrives, without end.

        Yields an empty batch about once a second while nothing arrives. Raises TransportError as `read` does.
        """
        ...


class Topics(Protocol):
    """Topics and groups on the broker. Every method raises TransportError when no broker answers."""

    def describe(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """The topics of these names, even if they do not exist; for a pattern (^...), those that match."""
        ...

    def group_refusal(self, group_id: str) -> str | None:
        """Why this user may not use a consumer group; None if it may."""
        ...

    def standings(self, group_id: str) -> Mapping[Partition, Standing]:
        """What the last commit of each partition says, where it says something; nothing for an unknown group.

        Raises TransportError when this user may not describe the group.
        """
        ...

    def create(
        self, names: Sequence[str], *, partitions: int, replication: int, configs: Mapping[str, str] | None = None
    ) -> list[str]:
        """Create topics; return those that did not exist. -1 partitions or replicas mean the broker's default.

        `configs` are settings of topics under Kafka's names.
        """
        ...

    def grow(self, partitions: Mapping[str, int]) -> None:
        """Add partitions to topics, up to these counts."""
        ...

    def delete(self, names: Sequence[str], *, group_id: str | None = None) -> None:
        """Delete the topics that exist, and a group without members."""
        ...
