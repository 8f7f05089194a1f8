"""A bounded part of a topic's past, over kafka-python 3."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from aestream.errors import TransportError
from aestream.transport.kafka_python.errors import broker_errors
from aestream.transport.kafka_python.records import columns
from aestream.transport.kafka_python.topics import KafkaTopics
from aestream.transport.newest import TAIL, Offsets, Past, step_back
from aestream.transport.wording import Connection, servers
from aestream.types import Batch, Partition

_log = logging.getLogger(__name__)

_STALLED_SECONDS = 30.0
_POLL_SECONDS = 1.0
_STEP_RECORDS = 1000  # the least to look through at once
_FETCH_MS = 50  # a fetch that waits at a topic's end delays the next one, which may begin elsewhere


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
        self._told = False

    def read(self, *, records: int, period: float | None) -> Iterator[Batch]:
        """Stream the records between a start that fits `records` and `period`, and the end as it is now."""
        parts = self._partitions()
        with self._opened(parts) as consumer:
            past = self._past(consumer, parts, period)
            starts, found = past.newest(records), 0
            for batch in _between(consumer, starts, past.ends):
                found += len(batch)
                yield batch
            yield from _older(consumer, past, starts, records - found, enough=records // 100)

    def follow(self, *, last: int) -> Iterator[Batch]:
        """Stream the topics from `last` records before their end, then what arrives, without end.

        Yields an empty batch about once a second when nothing arrives.
        """
        parts = self._partitions()
        with self._opened(parts) as consumer:
            _seek(consumer, self._past(consumer, parts, None).newest(last))
            while True:
                yield columns([consumer.poll(timeout_ms=int(_POLL_SECONDS * 1000))])

    def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, int]]:
        """The first offset of each partition, and the one after its last record."""
        parts = [TopicPartition(*part) for part in partitions]
        with self._opened(parts) as consumer:
            begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        return {Partition(*part): (begins[part], ends[part]) for part in parts}

    def between(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[Batch]:
        """Stream the records of these partitions from `starts` to `ends`."""
        first, last = ({TopicPartition(*part): at for part, at in of.items()} for of in (starts, ends))
        with self._opened(list(first)) as consumer:
            yield from _between(consumer, first, last)

    @contextmanager
    def _opened(self, parts: Sequence[TopicPartition]) -> Iterator[KafkaConsumer]:
        """A consumer of the partitions without a group, closed at the end."""
        with broker_errors(self._connection):
            consumer = KafkaConsumer(
                **self._connection,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # go on with what is left where retention overtakes us
                max_poll_records=self._max_records,
                fetch_max_wait_ms=_FETCH_MS,
                **self._settings,
            )
            try:
                consumer.assign(parts)
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

    def _past(self, consumer: KafkaConsumer, parts: Sequence[TopicPartition], period: float | None) -> Past:
        """What the partitions hold now, and what their timestamps count; says once where these tell no time."""
        begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)

        def find(wanted: Offsets) -> dict[TopicPartition, int | None]:
            found = consumer.offsets_for_times(dict(wanted))
            return {part: place.offset if place is not None else None for part, place in found.items()}

        tails: dict[TopicPartition, list[int]] = {part: [] for part in parts}
        for batch in _between(consumer, {part: max(begins[part], ends[part] - TAIL) for part in parts}, ends):
            for part, start, stop in batch.spans:
                tails[TopicPartition(*part)] += batch.timestamps[start:stop]
        past = Past.of(begins, ends, tails, find, now=int(time.time() * 1000), period=period)
        timeless = [f"{part.topic}/{part.partition}" for part in parts if part not in past.clocks]
        if timeless and not self._told:
            self._told = True
            _log.warning(
                "the timestamps in %s are not times, or lie in the future: what is read there is chosen by offset",
                ", ".join(timeless),
            )
        return past


def _older(consumer: KafkaConsumer, past: Past, starts: Offsets, missing: int, *, enough: int) -> Iterator[Batch]:
    """Read further back for the records that are missing because not every offset holds one, until `enough` is left.

    Compaction removes records, and transactions have markers. Each step doubles the offsets that are looked at. It
    reads them once to count what is there, and once for the newest of it.
    """
    stops = starts
    while missing > enough and past.count(stops) < past.count(past.begins):
        found = past.newest(max(2 * past.count(stops), _STEP_RECORDS))
        starts = {part: min(start, stops[part]) for part, start in found.items()}
        there: dict[TopicPartition, list[int]] = {part: [] for part in stops}
        for batch in _between(consumer, starts, stops):
            for part, start, stop in batch.spans:
                there[TopicPartition(*part)] += batch.offsets[start:stop]
        counts = {part: len(offsets) for part, offsets in there.items()}
        wanted = min(missing, sum(counts.values()))
        places = step_back(dict.fromkeys(counts, 0), counts, wanted)
        firsts = {part: [*there[part], stops[part]][place] for part, place in places.items()}
        yield from _between(consumer, firsts, stops)
        missing -= wanted
        stops = starts


def _seek(consumer: KafkaConsumer, starts: Offsets) -> None:
    """Let the consumer read these partitions, and no others, from these offsets.

    A partition that is done with is not paused, because kafka-python 3.0.12 may never fetch a paused one again.
    """
    consumer.assign(list(starts))
    for part, start in starts.items():
        consumer.seek(part, start)


def _is_before(consumer: KafkaConsumer, part: TopicPartition, end: int) -> bool:
    """Whether there is more to read; so it is taken while no broker says how far it is."""
    try:
        return bool(consumer.position(part, timeout_ms=int(_POLL_SECONDS * 1000)) < end)
    except kafka_errors.KafkaTimeoutError:
        return True


def _between(consumer: KafkaConsumer, starts: Offsets, ends: Offsets) -> Iterator[Batch]:
    """Read every partition from its start until it has reached its end."""
    open_parts = {part: end for part, end in ends.items() if starts[part] < end}
    if open_parts:
        _seek(consumer, {part: starts[part] for part in open_parts})
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
        left = {part: end for part, end in open_parts.items() if _is_before(consumer, part, end)}
        if left and len(left) < len(open_parts):
            consumer.assign(list(left))
        open_parts = left
        if time.monotonic() - last > _STALLED_SECONDS:
            raise TransportError(
                f"reading the past of {', '.join(sorted({p.topic for p in open_parts}))} stalled for "
                f"{_STALLED_SECONDS:.0f} s: is the broker reachable under its advertised listener?"
            )
