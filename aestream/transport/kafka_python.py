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

from aestream.errors import DeliveryError, TransportError
from aestream.types import Batch, Outgoing, Partition, Position, Span

# A rebalance took the partitions away, or is under way: the records come again, to whoever owns them then.
_COMMIT_REFUSED = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RetriableError,
)
_POSITION_TIMEOUT_MS = 10_000
_CLOSE_TIMEOUT_SECONDS = 10.0
# The producer goes on trying for as long as the worker lives: an outage of the broker is waited out, not failed.
_NEVER_MS = 2**31 - 1

Connection = Mapping[str, Any]


@contextmanager
def broker_errors(connection: Connection) -> Iterator[None]:
    """Turn what kafka-python raises into a TransportError of one line that says where and what to look at."""
    where = connection.get("bootstrap_servers")
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


class KafkaSource:
    """The input topics through a consumer group, with cooperative-sticky assignment.

    `connection` and `consumer` hold settings of KafkaConsumer under its own names. `topics` are names, or one regular
    expression that begins with ^. `on_rebalance` is told `assigned`, `revoked` or `lost`, on the client's own thread.
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
        self._next: dict[Partition, int] = {}
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
                self._consumer.subscribe(topics=list(topics), listener=listener)

    def poll(self, timeout: float) -> Batch:
        """Wait for records; once there are some, gather more for at most `max_wait` seconds to fill the batch."""
        with broker_errors(self._connection):
            parts = [self._consumer.poll(timeout_ms=int(timeout * 1000), max_records=self._max_records)]
            self._commit_start()
            count = _count(parts[0])
            deadline = time.monotonic() + self._max_wait
            while 0 < count < self._max_records:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                part = self._consumer.poll(timeout_ms=int(left * 1000) + 1, max_records=self._max_records - count)
                parts.append(part)
                count += _count(part)
        batch = columns(parts)
        self._next.update(batch.positions)
        return batch

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Commit the offsets of partitions that are still ours; False when a rebalance is in the way."""
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
                self._consumer.commit(offsets)
            except _COMMIT_REFUSED:
                return False
        return True

    def joined(self) -> bool:
        """Whether the group is settled and every partition that is ours has a known start."""
        stable = bool(self._consumer.group_metadata().state == MemberState.STABLE)
        return stable and bool(self._consumer.assignment() == self._started)

    def assigned(self) -> frozenset[Partition]:
        """The partitions whose start is known and committed: from here on nothing of them is missed."""
        return frozenset(Partition(*p) for p in self._started)

    def positions(self, batch: Batch) -> Mapping[Partition, Position]:
        """Records between our position and the end as the last fetch saw it; seconds since the newest record."""
        newest = {span.partition: batch.timestamps[span.stop - 1] / 1000 for span in batch.spans}
        now = time.time()
        found = {}
        for part in self._started & self._consumer.assignment():
            partition = Partition(*part)
            end, here = self._consumer.highwater(part), self._next.get(partition)
            lag = max(end - here, 0) if end is not None and here is not None else 0
            found[partition] = Position(lag, max(now - newest.get(partition, now), 0.0) if lag else 0.0)
        return found

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, from the client's own metadata."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    def close(self) -> None:
        """Leave the group and close the connections."""
        with broker_errors(self._connection):
            self._consumer.close(autocommit=False, timeout_ms=int(_CLOSE_TIMEOUT_SECONDS * 1000))

    def _commit_start(self) -> None:
        """Pin where each newly assigned partition begins, so that a kill before the first commit loses nothing.

        Without a committed offset, `auto_offset_reset=latest` would begin at the end once more after a restart.
        """
        mine = self._consumer.assignment()
        self._started &= mine
        fresh = mine - self._started
        for partition in fresh:
            try:
                position = self._consumer.position(partition, timeout_ms=_POSITION_TIMEOUT_MS)
                pinned = self._consumer.committed(partition, timeout_ms=_POSITION_TIMEOUT_MS) is not None
            except (kafka_errors.RetriableError, kafka_errors.IllegalStateError):
                return  # the broker is away or the partition is already gone: the next poll comes back here
            if not pinned and not self.commit({Partition(*partition): position}):
                return
            self._next.setdefault(Partition(*partition), position)
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
                send(messages.topic, value, key, header and list(header), partition)
                for value, key, header, partition in columns
            ]
        except kafka_errors.MessageSizeTooLargeError as error:
            raise DeliveryError(f"a message for {messages.topic} is too large: {error}") from error
        except kafka_errors.KafkaTimeoutError as error:
            raise DeliveryError(
                f"topic {messages.topic} cannot be written: does it exist? `aestream topics create` makes it ({error})"
            ) from error
        except (kafka_errors.KafkaError, AssertionError, ValueError) as error:
            raise DeliveryError(f"topic {messages.topic} refuses a message: {error}") from error

    def flush(self, timeout: float) -> bool:
        """Wait for the acknowledgements of everything sent. False: not all are there yet, ask again."""
        try:
            self._producer.flush(timeout=timeout)
        except kafka_errors.KafkaTimeoutError:
            return False
        futures, self._futures = self._futures, []
        failed = next((f.exception for f in futures if f.exception is not None or not f.is_done), None)
        if failed is not None:
            raise DeliveryError(f"a result was not accepted: {type(failed).__name__}: {failed}") from failed
        return True

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Asks the broker the first time only."""
        with broker_errors(self._connection):
            return len(self._producer.partitions_for(topic) or ())

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
