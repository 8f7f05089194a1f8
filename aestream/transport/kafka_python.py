"""Source and Sink over kafka-python 3, the default client."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState, OffsetAndMetadata

from aestream.errors import DeliveryError, NoAnswerError, TransportError
from aestream.types import Batch, Outgoing, Partition, Position, Span

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
# The producer goes on trying for as long as the worker lives: an outage of the broker is waited out, not failed.
_NEVER_MS = 2**31 - 1

Connection = Mapping[str, Any]


@contextmanager
def broker_errors(connection: Connection) -> Iterator[None]:
    """Turn what kafka-python raises into a TransportError of one line that says where and what to look at."""
    where = ", ".join(connection["bootstrap_servers"])
    try:
        yield
    except kafka_errors.FencedInstanceIdError as error:
        raise TransportError(
            "another member of the group runs with the same AESTREAM_KAFKA__GROUP_INSTANCE_ID: give each its own"
        ) from error
    except kafka_errors.AuthorizationError as error:
        raise TransportError(f"the broker at {where} denies access ({error}): grant the ACL to this user") from error
    except kafka_errors.SaslAuthenticationFailedError as error:
        raise TransportError(
            f"the broker at {where} refuses the credentials: check AESTREAM_KAFKA__SASL_* ({error})"
        ) from error
    except kafka_errors.KafkaTimeoutError as error:
        raise TransportError(
            f"no answer from Kafka at {where}: check AESTREAM_KAFKA__BOOTSTRAP_SERVERS, the network and "
            f"AESTREAM_KAFKA__SECURITY_PROTOCOL ({error})"
        ) from error
    except (kafka_errors.KafkaError, OSError) as error:
        raise TransportError(f"Kafka at {where}: {type(error).__name__}: {error}") from error
    except (AssertionError, ImportError) as error:  # how the client says that settings do not go together
        raise TransportError(f"the Kafka client refuses the settings AESTREAM_KAFKA__*: {error}") from error


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


class KafkaSink:
    """The output topics through an idempotent producer with acks=all.

    `connection` and `producer` hold settings of KafkaProducer under its own names.
    """

    def __init__(self, *, connection: Connection, max_request_size: int, **producer: Any) -> None:
        self._connection = connection
        self._futures: list[Any] = []
        self.max_bytes = max_request_size
        with broker_errors(connection):
            self._producer = KafkaProducer(
                **connection,
                acks="all",
                enable_idempotence=True,
                max_request_size=max_request_size,
                delivery_timeout_ms=_NEVER_MS,
                max_block_ms=_ANSWER_TIMEOUT_MS,  # how long a topic that is not known is asked for
                allow_auto_create_topics=False,
                **producer,
            )

    def send(self, messages: Outgoing) -> None:
        """Hand the messages to the producer. Raises DeliveryError for a topic or a message that it refuses."""
        send = self._producer.send
        headers: Iterable[Any] = messages.headers or itertools.repeat(None)
        columns = zip(messages.values, messages.keys, headers, messages.partitions, strict=False)
        try:
            self._futures += [
                send(messages.topic, value, key, list(header) if header else None, partition)
                for value, key, header, partition in columns
            ]
        except kafka_errors.MessageSizeTooLargeError as error:
            raise DeliveryError(f"a message for {messages.topic} is too large: {error}") from error
        except kafka_errors.KafkaTimeoutError as error:
            raise DeliveryError(_no_topic(messages.topic, error)) from error
        except (kafka_errors.KafkaError, AssertionError, ValueError) as error:
            raise DeliveryError(f"topic {messages.topic} refuses a message: {error}") from error

    def flush(self, timeout: float) -> bool:
        """Wait for the acknowledgements of everything sent. False: not all are there yet, ask again."""
        try:
            self._producer.flush(timeout=timeout)
        except (kafka_errors.KafkaTimeoutError, kafka_errors.UnknownError):
            return False  # UnknownError: the client split a batch that was too large and goes on with the halves
        if not all(future.is_done for future in self._futures):
            return False
        futures, self._futures = self._futures, []
        failed = next((future.exception for future in futures if future.exception is not None), None)
        if failed is not None:
            raise DeliveryError(f"a result was not accepted: {type(failed).__name__}: {failed}") from failed
        return True

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Asks the broker the first time only.

        Raises TransportError for a topic that is not there.
        """
        with broker_errors(self._connection):
            try:
                return len(self._producer.partitions_for(topic))
            except kafka_errors.KafkaTimeoutError as error:
                raise TransportError(_no_topic(topic, error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._producer.close(timeout=_CLOSE_TIMEOUT_SECONDS)


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


def _no_topic(topic: str, error: Exception) -> str:
    return f"topic {topic} cannot be written: does it exist? `aestream topics create` makes it ({error})"


def _count(polled: Mapping[TopicPartition, Sequence[Any]]) -> int:
    return sum(map(len, polled.values()))


def columns(parts: Sequence[Mapping[TopicPartition, Sequence[Any]]]) -> Batch:
    """Transpose consumer records into the columns of a batch, partition after partition."""
    records: dict[TopicPartition, list[Any]] = {}
    for part in parts:
        for key, found in part.items():
            records.setdefault(key, []).extend(found)
    if not records:
        return Batch()
    stops = list(itertools.accumulate(map(len, records.values())))
    spans = [
        Span(Partition(*key), stop - len(found), stop)
        for (key, found), stop in zip(records.items(), stops, strict=True)
    ]
    columns = tuple(zip(*itertools.chain.from_iterable(records.values()), strict=True))
    # ConsumerRecord: topic, partition, leader_epoch, offset, timestamp, timestamp_type, key, value, headers, ...
    return Batch(spans, columns[3], columns[4], columns[6], columns[7], columns[8])


def matching(topics: Sequence[str], names: Iterable[str]) -> list[str]:
    """The topics themselves, or, for a pattern, the names that it matches."""
    if not topics[0].startswith("^"):
        return list(topics)
    return sorted(name for name in names if re.match(topics[0], name) and not name.startswith("__"))
