"""What a transport does, in batches.

`Source` and `Sink` carry the stream, `Delivery` says when an offset is committed, `History` reads a topic's past, and
`Topics` looks at topics and makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

from aestream.types import Batch, Changes, Membership, Outgoing, Partition, Position, TopicState


class Source(Protocol):
    """The input topics, read as a member of a consumer group. Used by one thread."""

    def poll(self, timeout: float) -> Batch:
        """Wait up to `timeout` seconds for records. May be empty; per partition the offsets ascend.

        A batch has no records of a partition before `changes` tells that it was assigned.
        Raises TransportError when the broker or a topic cannot be used at all; a broker that is away for a while is
        waited for.
        """
        ...

    def changes(self) -> Changes:
        """What has become of this member's partitions since this was asked last: ask after each poll.

        What is told of a rebalance is told here alone, on the caller's thread: revoked and lost partitions first.
        """
        ...

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Commit offsets for partitions that are still assigned here. False: refused because of a rebalance.

        Raises NoAnswerError when it is not known whether the broker took them: ask again.
        """
        ...

    def membership(self) -> Membership:
        """Where this member stands in its group."""
        ...

    def answers(self) -> bool:
        """Whether the broker answers a small question within a second."""
        ...

    def joined(self) -> bool:
        """Whether this member has its place in the group: partitions whose start is known, or none to have."""
        ...

    def assigned(self) -> frozenset[Partition]:
        """The partitions that are this member's now."""
        ...

    def positions(self) -> Mapping[Partition, Position]:
        """How far behind its end each assigned partition is committed."""
        ...

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, 0 while unknown. Does not wait."""
        ...

    def close(self) -> None:
        """Leave the group and close the connections. Commits nothing."""
        ...


class Sink(Protocol):
    """The output topics. Used by one thread."""

    def max_bytes(self, topic: str) -> int:
        """The largest message, key, value, headers and framing together, that a topic is known to take."""
        ...

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Hand messages over. They are delivered once `flush` has returned.

        A message keeps the partition number of its source where that is of a topic in `keep`, or of the topic that it
        is for; elsewhere its key chooses.
        """
        ...

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until everything sent so far is acknowledged; False if it takes longer.

        Raises DeliveryError when anything was refused for good, TooLargeError when it may be sent again, smaller.
        """
        ...

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Raises TransportError when it is not there."""
        ...

    def close(self) -> None:
        """Close the connections. What was not flushed may be lost."""
        ...


class Delivery(Protocol):
    """Publishes the results of a batch and commits behind it: the order of the two is the guarantee."""

    def publish(
        self, results: Sequence[Outgoing], *, patience: Callable[[], bool], topic_by_topic: bool = False
    ) -> None:
        """Publish all results of a batch.

        Raises DeliveryError when a result is refused, or when `patience`, asked about once a second while the broker
        does not answer, ends the wait. TooLargeError asks for smaller results; where it does not name the topic, it
        does when they are published again `topic_by_topic`.
        """
        ...

    def commit(self, batch: Batch, *, patience: Callable[[], bool]) -> bool:
        """Commit behind a batch whose results are published. False: refused, or `patience` ended the wait.

        What could not be committed is tried again with the next call, as long as its partition is still ours.
        """
        ...


class History(Protocol):
    """The past of topics, without a consumer group: nothing is joined, nothing committed."""

    def read(self, *, records: int, period: float | None) -> Iterator[Batch]:
        """Stream at most `records` of the newest records, none older than `period` seconds if that is given.

        Partitions contribute in proportion to what they hold. Raises TransportError when a topic cannot be read.
        """
        ...

    def follow(self, *, last: int) -> Iterator[Batch]:
        """Stream from `last` records before the topics' ends, and go on with what arrives; it never ends by itself.

        Yields an empty batch about once a second while nothing arrives. Raises TransportError as `read` does.
        """
        ...


class Topics(Protocol):
    """What a broker says of topics and groups. Every method raises TransportError when no broker answers."""

    def describe(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """The topics of these names, also those that do not exist; for a pattern (^...) those that match."""
        ...

    def group_refusal(self, group_id: str) -> str | None:
        """Why this user cannot work in a consumer group; None when it can."""
        ...

    def create(self, names: Sequence[str], *, partitions: int, replication: int) -> list[str]:
        """Create topics; return those that did not exist. -1 partitions or replicas are the broker's default."""
        ...

    def grow(self, partitions: Mapping[str, int]) -> None:
        """Add partitions to topics, up to these counts."""
        ...

    def delete(self, names: Sequence[str], *, group_id: str | None = None) -> None:
        """Delete the topics that exist, and a group without members."""
        ...
