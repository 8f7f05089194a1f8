"""What `Places` asks of a consumer of kafka-python 3, which runs with `auto_offset_reset=none`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from aestream.errors import NoAnswerError
from aestream.transport.base import TransactionalSink
from aestream.transport.places import ANSWER_SECONDS, Commit, RefusedError, Stored
from aestream.types import Partition

COMMIT_REFUSED = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)
_ANSWER_MS = int(ANSWER_SECONDS * 1000)
_POSITION_MS = 1_000


class KafkaMember:
    """A consumer as a member of its group. A TopicPartition equals the Partition of the same topic and number."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    def mine(self) -> Collection[Partition]:
        """The client's assignment."""
        return {Partition(*partition) for partition in self._consumer.assignment()}

    def partitions_of(self, topic: str) -> Collection[int]:
        """The client's own metadata."""
        return self._consumer.partitions_for_topic(topic) or ()

    def stored(self, partitions: Collection[Partition]) -> Mapping[Partition, Stored]:
        """Ask the group's coordinator."""
        found = {}
        with _answers():
            for part in partitions:
                place = self._consumer.committed(TopicPartition(*part), metadata=True, timeout_ms=_ANSWER_MS)
                if place is not None:
                    found[part] = (place.offset, place.metadata or "")
        return found

    def begins(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the leaders."""
        with _answers():
            return _offsets(self._consumer.beginning_offsets, partitions, _ANSWER_MS)

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the leaders."""
        with _answers():
            return _offsets(self._consumer.end_offsets, partitions, _ANSWER_MS)

    def recent_ends(self, partitions: Collection[Partition], *, timeout: float) -> Mapping[Partition, int]:
        """Ask the leaders: they answer at once."""
        try:
            return _offsets(self._consumer.end_offsets, partitions, int(timeout * 1000))
        except kafka_errors.KafkaError:
            return {}

    def commit(self, offsets: Mapping[Partition, Stored]) -> None:
        """Commit, and wait for the answer."""
        with _answers():
            self._consumer.commit(in_kafkas_terms(offsets), timeout_ms=_ANSWER_MS)

    def begin_at(self, starts: Mapping[Partition, int]) -> None:
        """Do nothing: the client begins at what is committed."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Let the next fetch begin there."""
        with contextlib.suppress(kafka_errors.IllegalStateError):  # it is no longer ours
            self._consumer.seek(TopicPartition(*partition), offset)

    def position(self, partition: Partition) -> int | None:
        """Where the next fetch begins."""
        try:
            found: int | None = self._consumer.position(TopicPartition(*partition), timeout_ms=_POSITION_MS)
        except kafka_errors.KafkaError:  # the partition has just been taken away
            return None
        return found

    def last_seen_end(self, partition: Partition) -> int:
        """The high watermark of the last fetch."""
        return self._consumer.highwater(TopicPartition(*partition)) or 0


def committed_by(sink: TransactionalSink, member: Any) -> Commit:
    """A commit within the transaction of a sink, for a member of the group as the client describes it."""
    return lambda offsets: sink.commit(in_kafkas_terms(offsets), member)


def in_kafkas_terms(offsets: Mapping[Partition, Stored]) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Offsets and notes as the client takes them."""
    return {TopicPartition(*part): OffsetAndMetadata(offset, note, -1) for part, (offset, note) in offsets.items()}


def _offsets(
    ask: Callable[..., Mapping[TopicPartition, int]], partitions: Collection[Partition], timeout_ms: int
) -> Mapping[Partition, int]:
    found = ask([TopicPartition(*part) for part in partitions], timeout_ms=timeout_ms)
    return {part: found[TopicPartition(*part)] for part in partitions}


@contextmanager
def _answers() -> Iterator[None]:
    """Turn the errors that pass, or that a rebalance causes, into those that Places knows."""
    try:
        yield
    except COMMIT_REFUSED as error:
        raise RefusedError(str(error)) from error
    except kafka_errors.RetriableError as error:
        raise NoAnswerError(f"the broker did not answer: {error}") from error
    except kafka_errors.IllegalStateError as error:
        raise NoAnswerError(f"the partition has just been taken away: {error}") from error
