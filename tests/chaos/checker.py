"""Compares results with the input, offset by offset, as a reader of committed messages sees both.

`read_input` and `read_results` read whole topics into columns; `judge` counts what is lost, there twice, out of order,
or from nowhere. It knows nothing of how aestream works: only what a result says about its record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

Ints = np.ndarray[Any, np.dtype[np.int64]]
Starts = Mapping[str, Mapping[int, int]]  # by topic and partition, the offset from which on to read

_SILENT_SECONDS = 60.0
_SHIFT = 44  # bits of an offset in a place: room for 17 * 10^12 of them
_AT_ONCE = 50_000
_LETTER = tuple(f"aestream.dlq.{name}" for name in ("topic", "partition", "offset"))


@dataclass(frozen=True, slots=True)
class Table:
    """Messages of one topic, partition after partition, in columns of n rows.

    `into` is the partition that a message is in. `place` is that of its record in the input (`places` makes it), `key`
    is a hash of its key, and `flagged` says whether the record is an anomaly.
    """

    into: Ints
    place: Ints
    key: Ints
    flagged: np.ndarray[Any, np.dtype[np.bool_]]

    def __len__(self) -> int:
        return len(self.place)

    def where(self, chosen: Any) -> Table:
        """Some of the rows."""
        return Table(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def of(cls, parts: list[tuple[Any, ...]]) -> Table:
        """From pieces of columns."""
        kinds = (np.int64, np.int64, np.int64, np.bool_)
        columns = list(zip(*parts, strict=True)) or [()] * len(kinds)
        return cls(
            *(
                np.concatenate([np.empty(0, kind), *(np.asarray(piece, kind) for piece in pieces)])
                for kind, pieces in zip(kinds, columns, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class Results:
    """What was published about one input topic."""

    scores: Table
    letters: Table
    anomalies: Table


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of records, and of what is wrong with their results."""

    records: int = 0
    lost: int = 0  # records without a score or a dead letter
    duplicated: int = 0  # scores, dead letters and anomalies beyond the first of their record
    out_of_order: int = 0  # results that appear first after a later record's of the same partition, hence of any key
    unknown: int = 0  # results of no record
    misnamed: int = 0  # results with another key than their record
    unmatched: int = 0  # flagged scores without an anomaly, or the reverse

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def faults(self, delivery: str) -> dict[str, int]:
        """What a guarantee does not allow, with its count; empty if all is well."""
        allowed = {"records"} | ({"duplicated"} if delivery == "at_least_once" else set())
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in allowed}
        return {name: count for name, count in found.items() if count}


def places(partitions: Any, offsets: Any) -> Ints:
    """One number for each record: its partition and its offset."""
    return np.asarray(partitions, np.int64) << _SHIFT | np.asarray(offsets, np.int64)


def judge(records: Table, results: Results) -> Verdict:
    """Compare results with their records."""
    wanted = np.unique(records.place)
    told = np.concatenate([results.scores.place, results.letters.place])
    found, counts = np.unique(told, return_counts=True)
    flagged = np.unique(results.scores.place[results.scores.flagged])
    alarms, times = np.unique(results.anomalies.place, return_counts=True)
    return Verdict(
        records=len(wanted),
        lost=len(np.setdiff1d(wanted, found)),
        duplicated=int((counts - 1).sum() + (times - 1).sum()),
        out_of_order=_disorder(results.scores) + _disorder(results.letters) + _disorder(results.anomalies),
        unknown=len(np.setdiff1d(found, wanted)),
        misnamed=_misnamed(records, results.scores) + _misnamed(records, results.letters),
        unmatched=len(np.setxor1d(flagged, alarms)),
    )


def _disorder(table: Table) -> int:
    """Count first results that come after a first result of a later record, partition by partition."""
    firsts = table.where(np.sort(np.unique(table.place, return_index=True)[1]))
    late = 0
    streams = firsts.into << _SHIFT | firsts.place >> _SHIFT
    for stream in np.unique(streams):
        offsets = firsts.place[streams == stream]
        late += int((offsets[1:] < np.maximum.accumulate(offsets)[:-1]).sum())
    return late


def _misnamed(records: Table, results: Table) -> int:
    if not len(records):
        return 0
    ordered = records.where(np.argsort(records.place))
    at = np.searchsorted(ordered.place, results.place).clip(max=len(ordered) - 1)
    return int(((ordered.place[at] == results.place) & (ordered.key[at] != results.key)).sum())


def read_input(bootstrap: str, topic: str) -> Table:
    """Every record that a topic holds."""
    return _read(bootstrap, topic, {}, lambda found: [(r.partition, r.offset, False) for r in found])


def read_results(bootstrap: str, topic: str, into: Mapping[str, str], starts: Starts) -> Results:
    """The results about an input topic, from `starts` on; `into` names the topics `scores`, `letters`, `anomalies`.

    A message that ends an episode without being about a record does not count.
    """
    decode = msgspec.json.Decoder(_Result).decode

    def of_score(found: list[Any]) -> list[tuple[int, int, bool]]:
        return [
            (origin.partition, origin.offset, result.anomaly)
            if origin.offset is not None and origin.topic == topic
            else (-1, 0, False)
            for result in map(decode, [record.value for record in found])
            for origin in (result.source,)
        ]

    def of_letter(found: list[Any]) -> list[tuple[int, int, bool]]:
        named = [[dict(record.headers)[name].decode() for name in _LETTER] for record in found]
        return [(int(p), int(o), False) if t == topic else (-1, 0, False) for t, p, o in named]

    def read(kind: str, say: Callable[[list[Any]], list[tuple[int, int, bool]]]) -> Table:
        table = _read(bootstrap, into[kind], starts.get(into[kind], {}), say)
        return table.where(table.place >= 0)

    return Results(read("scores", of_score), read("letters", of_letter), read("anomalies", of_score))


def ends(bootstrap: str, topics: list[str]) -> dict[str, dict[int, int]]:
    """The offsets after the last committed message of topics, as `read_results` takes them."""
    consumer = _consumer(bootstrap)
    try:
        return {
            topic: {tp.partition: end for tp, end in consumer.end_offsets(_partitions(consumer, topic)).items()}
            for topic in topics
        }
    finally:
        consumer.close()


class _Origin(msgspec.Struct):
    topic: str
    partition: int = 0
    offset: int | None = None


class _Result(msgspec.Struct):
    source: _Origin
    anomaly: bool = True  # what ends an episode does not say


def _read(
    bootstrap: str, topic: str, starts: Mapping[int, int], say: Callable[[list[Any]], list[tuple[int, int, bool]]]
) -> Table:
    parts: list[tuple[Any, ...]] = []
    for into, found in _messages(bootstrap, topic, starts):
        partitions, offsets, flagged = zip(*say(found), strict=True)
        keys = [hash(record.key) for record in found]
        parts.append(([into] * len(found), places(partitions, offsets), keys, flagged))
    return Table.of(sorted(parts, key=lambda part: int(part[0][0])))


def _messages(bootstrap: str, topic: str, starts: Mapping[int, int]) -> Iterator[tuple[int, list[Any]]]:
    """Everything from `starts` to the ends as of now, in pieces of one partition each, in order."""
    consumer = _consumer(bootstrap)
    try:
        parts = _partitions(consumer, topic)
        consumer.assign(parts)
        begin, end = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        for part in parts:
            consumer.seek(part, max(begin[part], starts.get(part.partition, 0)))
        heard = time.monotonic()
        while any(consumer.position(part) < end[part] for part in parts):
            assert time.monotonic() - heard < _SILENT_SECONDS, f"{topic} cannot be read to its end"
            for part, found in consumer.poll(timeout_ms=500).items():
                heard = time.monotonic()
                yield part.partition, found
    finally:
        consumer.close()


def _consumer(bootstrap: str) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=_AT_ONCE,
    )


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
