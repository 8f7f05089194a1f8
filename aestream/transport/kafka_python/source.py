"""Source over kafka-python 3: the input topics, read as a member of a consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState, OffsetAndMetadata

from aestream.errors import NoAnswerError, TransportError
from aestream.transport.kafka_python.errors import Connection, broker_errors
from aestream.transport.kafka_python.records import columns
from aestream.types import Batch, Partition, Position

# A rebalance took the partitions away, or is under way: the records come again, to whoever owns them then.
_COMMIT_REFUSED = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)
_LAG_TIMEOUT_MS = 1_000
_ANSWER_TIMEOUT_MS = 10_000  # a commit or a position that takes longer is asked for again after the next poll
_CLOSE_TIMEOUT_SECONDS = 10.0


class KafkaSource:
    """The input topics through a consumer group, with cooperative-sticky assignment.

    `connection` and `consumer` hold settings of KafkaConsumer under its own names. `topics` are names, or one regular
    expression that begins with ^. `on_rebalance` is told `assigned`, `revoked` or `lost`, on the client's own thread.
    Raises TransportError when a named topic does not exist.
    """

    def __init__(
        self,
        topics: Sequence[str],
        *,
        connection: Connection,
        group_id: str,
        max_records: int,
        max_wait: float,
        on_rebalance: Callable[[str], None],
        **consumer: Any,
    ) -> None:
        self._connection = connection
        self._max_records = max_records
        self._max_wait = max_wait
        self._started: set[TopicPartition] = set()
        with broker_errors(connection):
            self._consumer = KafkaConsumer(
                **connection,
                group_id=group_id,
                enable_auto_commit=False,
                max_poll_records=max_records,
                allow_auto_create_topics=False,
                exclude_internal_topics=True,
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                **consumer,
            )
            listener = _Listener(on_rebalance)
            if topics[0].startswith("^"):
                self._consumer.subscribe(pattern=topics[0], listener=listener)
            else:
                self._need(topics)
                self._consumer.subscribe(topics=list(topics), listener=listener)

    def poll(self, timeout: float) -> Batch:
        """Wait for records; once there are some, gather more for at most `max_wait` seconds to fill the batch."""
        with broker_errors(self._connection):
            parts = [self._poll(timeout, self._max_records)]
            count = _count(parts[0])
            deadline = time.monotonic() + self._max_wait
            while 0 < count < self._max_records:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                parts.append(self._poll(left + 0.001, self._max_records - count))
                count += _count(parts[-1])
            batch = columns(parts)
            self._commit_start(batch)
        return batch

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Commit the offsets of partitions that are still ours; False when a rebalance is in the way.

        Raises NoAnswerError after ten seconds without an answer.
        """
        mine = self._consumer.assignment()
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in positions.items()
            if partition in mine
        }
        if not offsets:
            return True
        with broker_errors(self._connection):
            try:
                self._consumer.commit(offsets, timeout_ms=_ANSWER_TIMEOUT_MS)
            except _COMMIT_REFUSED:
                return False
            except kafka_errors.RetriableError as error:
                raise NoAnswerError(f"the broker did not answer a commit: {error}") from error
        return True

    def joined(self) -> bool:
        """Whether the group is settled and every partition that is ours has a known start."""
        stable = bool(self._consumer.group_metadata().state == MemberState.STABLE)
        return stable and bool(self._consumer.assignment() == self._started)

    def assigned(self) -> frozenset[Partition]:
        """The partitions whose start is known and committed: from here on nothing of them is missed."""
        return frozenset(Partition(*p) for p in self._started)

    def positions(self, batch: Batch) -> Mapping[Partition, Position]:
        """Records between our position and the end as the broker has it now; seconds since the newest record.

        The end that the last fetch saw serves where the broker does not answer at once.
        """
        parts = self._started & self._consumer.assignment()
        if not parts:
            return {}
        newest = {span.partition: batch.timestamps[span.stop - 1] / 1000 for span in batch.spans}
        now = time.time()
        try:
            ends = self._consumer.end_offsets(parts, timeout_ms=_LAG_TIMEOUT_MS)
        except kafka_errors.KafkaError:
            ends = {part: self._consumer.highwater(part) for part in parts}
        found = {}
        for part in parts:
            partition, end, here = Partition(*part), ends.get(part), self._position(part)
            lag = max(end - here, 0) if end is not None and here is not None else 0
            found[partition] = Position(lag, max(now - newest.get(partition, now), 0.0) if lag else 0.0)
        return found

    def _position(self, part: TopicPartition) -> int | None:
        """The offset to be read next. The client's own, because it also passes the markers of transactions."""
        try:
            position: int | None = self._consumer.position(part, timeout_ms=_LAG_TIMEOUT_MS)
        except kafka_errors.KafkaError:  # the partition went away a moment ago
            return None
        return position

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, from the client's own metadata."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    def close(self) -> None:
        """Leave the group and close the connections."""
        with broker_errors(self._connection):
            self._consumer.close(autocommit=False, timeout_ms=int(_CLOSE_TIMEOUT_SECONDS * 1000))

    def _need(self, topics: Sequence[str]) -> None:
        """Refuse to wait for records of a topic that is not there."""
        missing = sorted(set(topics) - set(self._consumer.topics()))
        if missing:
            self._consumer.close(autocommit=False)
            raise TransportError(
                f"no input topic {', '.join(missing)} at {self._connection.get('bootstrap_servers')}, or it may not "
                "be read: create it, grant the ACL, or mend AESTREAM_TOPICS__INPUT"
            )

    def _poll(self, timeout: float, room: int) -> Mapping[TopicPartition, Sequence[Any]]:
        """One poll of the client; nothing while the broker is away."""
        try:
            found: Mapping[TopicPartition, Sequence[Any]] = self._consumer.poll(
                timeout_ms=int(timeout * 1000), max_records=room
            )
        except kafka_errors.RetriableError:
            return {}
        return found

    def _commit_start(self, batch: Batch) -> None:
        """Pin where each newly assigned partition begins, so that a kill before the first commit loses nothing.

        Without a committed offset, `auto_offset_reset=latest` would begin at the end once more after a restart. The
        client's position is already behind `batch`, whose records are still to be scored: the start is before them.
        """
        first = {span.partition: batch.offsets[span.start] for span in batch.spans}
        mine = self._consumer.assignment()
        self._started &= mine
        fresh = mine - self._started
        for partition in fresh:
            try:
                here = self._consumer.position(partition, timeout_ms=_ANSWER_TIMEOUT_MS)
                pinned = self._consumer.committed(partition, timeout_ms=_ANSWER_TIMEOUT_MS) is not None
                start = first.get(Partition(*partition), here)
                if start is None or not (pinned or self.commit({Partition(*partition): start})):
                    return
            except (NoAnswerError, kafka_errors.RetriableError, kafka_errors.IllegalStateError):
                return  # the broker is away or the partition is already gone: the next poll comes back here
            self._started.add(partition)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only counts: a blocking client call on the client's own thread would raise."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def on_partitions_revoked(self, revoked: set[Any]) -> None:
        if revoked:
            self._tell("revoked")

    def on_partitions_assigned(self, assigned: set[Any]) -> None:
        if assigned:
            self._tell("assigned")

    def on_partitions_lost(self, lost: set[Any]) -> None:
        if lost:
            self._tell("lost")


def _count(polled: Mapping[TopicPartition, Sequence[Any]]) -> int:
    return sum(map(len, polled.values()))
