"""A bounded part of a topic's past, over kafka-python 3."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from aestream.errors import TransportError
from aestream.transport.kafka_python.errors import Connection, broker_errors, servers
from aestream.transport.kafka_python.records import columns
from aestream.transport.kafka_python.topics import KafkaTopics
from aestream.types import Batch

_STALLED_SECONDS = 30.0
_POLL_SECONDS = 1.0


class KafkaHistory:
    """The newest records of the input topics, by a consumer without a group: nothing is joined, nothing committed.

    `remedy` says what to do about a topic that does not exist.
    """

    def __init__(
        self, topics: Sequence[str], *, connection: Connection, max_records: int, remedy: str, **consumer: Any
    ) -> None:
        self._topics = topics
        self._connection = connection
        self._max_records = max_records
        self._remedy = remedy
        self._settings = consumer

    def read(self, *, records: int, period: float | None) -> Iterator[Batch]:
        """Stream the records between a start that fits `records` and `period`, and the end as it is now."""
        parts = self._partitions()
        with self._opened() as consumer:
            ends = _seek(consumer, parts, records, period)
            yield from _until(consumer, ends)

    def follow(self, *, last: int) -> Iterator[Batch]:
        """Stream the topics from `last` records before their end, then what arrives, without end.

        Yields an empty batch about once a second when nothing arrives.
        """
        parts = self._partitions()
        with self._opened() as consumer:
            _seek(consumer, parts, last, None)
            while True:
                yield columns([consumer.poll(timeout_ms=int(_POLL_SECONDS * 1000))])

    @contextmanager
    def _opened(self) -> Iterator[KafkaConsumer]:
        """A consumer without a group, closed at the end."""
        with broker_errors(self._connection):
            consumer = KafkaConsumer(
                **self._connection,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # go on with what is left where retention overtakes us
                max_poll_records=self._max_records,
                **self._settings,
            )
            try:
                yield consumer
            finally:
                consumer.close(autocommit=False)

    def _partitions(self) -> list[TopicPartition]:
        """All partitions. Raises TransportError for a topic that does not exist or may not be read."""
        found = KafkaTopics(self._connection).describe(self._topics)
        for name, topic in found.items():
            refusal = topic.refusal("READ", self._remedy)
            if refusal is not None:
                raise TransportError(f"topic {name} {refusal}")
        if not found:
            raise TransportError(
                f"no topic at {servers(self._connection)} that this user may read matches {self._topics[0]}: "
                f"{self._remedy}"
            )
        return [TopicPartition(name, number) for name, topic in found.items() for number in range(topic.partitions)]


def _seek(
    consumer: KafkaConsumer, parts: Sequence[TopicPartition], records: int, period: float | None
) -> dict[TopicPartition, int]:
    """Place the consumer at the start of the sample; return the offsets at which it ends."""
    consumer.assign(parts)
    starts, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
    if period is not None:
        since = int((time.time() - period) * 1000)
        for part, found in consumer.offsets_for_times(dict.fromkeys(parts, since)).items():
            starts[part] = found.offset if found is not None else ends[part]
    held = sum(ends[p] - starts[p] for p in parts)
    share = min(1.0, records / held) if held else 0.0
    for part in parts:
        starts[part] = ends[part] - int((ends[part] - starts[part]) * share)
        consumer.seek(part, starts[part])
    return {part: end for part, end in ends.items() if starts[part] < end}


def _until(consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> Iterator[Batch]:
    """Read until every partition has reached its end offset."""
    open_parts = dict(ends)
    last = time.monotonic()
    while open_parts:
        polled = consumer.poll(timeout_ms=int(_POLL_SECONDS * 1000))
        kept = {}
        for part, found in polled.items():
            if part in open_parts:
                kept[part] = [record for record in found if record.offset < open_parts[part]]
        if any(kept.values()):
            last = time.monotonic()
            yield columns([{part: found for part, found in kept.items() if found}])
        # position(), not the last record: the end may be a transaction marker that is never delivered
        for part in [p for p, end in open_parts.items() if consumer.position(p) >= end]:
            del open_parts[part]
            consumer.pause(part)
        if time.monotonic() - last > _STALLED_SECONDS:
            raise TransportError(
                f"reading the past of {', '.join(sorted({p.topic for p in open_parts}))} stalled for "
                f"{_STALLED_SECONDS:.0f} s: is the broker reachable under its advertised listener?"
            )
