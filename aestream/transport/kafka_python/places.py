"""Where each of our partitions begins, how far it is committed, and how far that is behind its end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from aestream.transport.notes import Note
from aestream.types import Batch, Changes, Partition, Position, Standing, Start

_log = logging.getLogger(__name__)

# A rebalance took the partitions away, or is under way: the records come again, to the partitions' next owner.
COMMIT_REFUSED = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)
_LAG_TIMEOUT_MS = 1_000
_ANSWER_TIMEOUT_MS = 10_000  # a question that takes longer is asked again after the next poll
Polled = Mapping[TopicPartition, Sequence[Any]]  # what the client returns: records by partition
Commit = Callable[[Mapping[TopicPartition, OffsetAndMetadata]], None]


@dataclass(slots=True)
class _Place:
    """One partition: the committed offset, the offset after the last record read, and times in seconds."""

    committed: int
    read: int
    newest: float | None  # the timestamp of the newest record read; None before the first
    since: float  # when it became ours


class Places:
    """The offsets of our partitions. The client itself never chooses one (`auto_offset_reset=none`).

    A partition without a committed offset begins at its start; with `latest`, at its end. A partition that was added to
    its topic after the group had begun to read that begins at its start even with `latest`. To tell which were added,
    the group's commits carry a note of how many partitions the topic had at the beginning. If an offset was committed
    without the note, every other partition counts as added. So do all partitions of a topic that is not among `topics`,
    the topics that existed when this member started, and of a topic that was deleted and created again: the broker
    drops a topic's offsets with the topic.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        *,
        latest: bool,
        topics: Collection[str],
    ) -> None:
        self._consumer = consumer
        self._latest = latest
        self._topics = topics
        self._places: dict[TopicPartition, _Place] = {}
        self._began_with: dict[str, int] = {}  # partitions of a topic when the group began to read it
        self._pinned: dict[str, TopicPartition] = {}  # one partition of a topic that had a committed offset
        self._standings: dict[Partition, Standing] = {}
        self._starts: dict[TopicPartition, Start] = {}  # these five: not reported yet
        self._came: set[TopicPartition] = set()
        self._revoked: set[TopicPartition] = set()
        self._lost: set[TopicPartition] = set()
        self._missed: Counter[str] = Counter()

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._places)

    def look_back(self, topics: Iterable[str]) -> None:
        """If the group has offsets for some of `topics`, count the others as added."""
        for topic in topics:
            any(self._committed(TopicPartition(topic, p)) for p in self._consumer.partitions_for_topic(topic) or ())
        if self._pinned:
            self._topics = set(self._pinned)

    def changes(self) -> Changes:
        """Which partitions came and went, and which records were missed, since the last call."""
        came, revoked, lost = (
            frozenset(Partition(*part) for part in some) for some in (self._came, self._revoked, self._lost)
        )
        starts = {Partition(*part): start for part, start in self._starts.items()}
        changes = Changes(starts, came, revoked, lost, self._missed)
        self._starts, self._came, self._revoked, self._lost, self._missed = {}, set(), set(), set(), Counter()
        return changes

    def forget(self, partition: TopicPartition, *, lost: bool = False) -> None:
        """Drop a partition that was taken away, even if it came back at once: another member had it in between."""
        if self._places.pop(partition, None) is None:
            return
        self._starts.pop(partition, None)
        if partition in self._came:
            self._came.discard(partition)
        else:
            (self._lost if lost else self._revoked).add(partition)

    def settle(self) -> None:
        """Find out where each of our new partitions begins, and commit that before any of its records is scored.

        Without this commit, a worker with `latest` that was killed before its first commit would begin at the end once
        more. A question that the broker does not answer in time is asked again at the next call.
        """
        mine = self._consumer.assignment()
        for partition in self._places.keys() - mine:
            self.forget(partition)
        try:
            for partition in sorted(mine - self._places.keys()):
                found = self._committed(partition)
                offset = self._begin(partition) if found is None else found.offset
                self._places[partition] = _Place(offset, offset, None, time.time())
                note = Note.read(found.metadata) if found is not None else None
                if note is not None and note.standing is not None:
                    self._standings[Partition(*partition)] = note.standing  # until this member says something else
                self._starts[partition] = Start(offset, ours=note is not None)
                self._came.add(partition)
        except (kafka_errors.RetriableError, kafka_errors.IllegalStateError, *COMMIT_REFUSED):
            return  # the broker is away, or the partition is already gone

    def settled(self) -> bool:
        """Whether the start of all our partitions is known: from here on none of their records is missed."""
        return bool(self._consumer.assignment() == self._places.keys())

    def staying(self, parts: Sequence[Polled], gone: AbstractSet[TopicPartition]) -> list[Polled]:
        """The records of partitions whose start is known and that did not go while these were read.

        The records of the others are read again: here, from the committed offset, or by a new owner.
        """
        stay = self._places.keys() - gone
        for partition in set().union(*parts) - stay:
            first = next(part[partition][0].offset for part in parts if partition in part)
            place = self._places.get(partition)
            with contextlib.suppress(kafka_errors.IllegalStateError):  # it is no longer ours
                self._consumer.seek(partition, first if place is None else place.committed)
        return [{partition: found for partition, found in part.items() if partition in stay} for part in parts]

    def note(self, batch: Batch) -> None:
        """Remember how far a batch reads."""
        for span in batch.spans:
            place = self._places.get(TopicPartition(*span.partition))
            if place is not None:
                place.read = batch.offsets[span.stop - 1] + 1
                place.newest = batch.timestamps[span.stop - 1] / 1000

    def annotate(self, standings: Mapping[Partition, Standing]) -> None:
        """What the notes of the next commits say of their partitions."""
        self._standings = dict(standings)

    def commit(self, offsets: Mapping[TopicPartition, int], through: Commit | None = None) -> None:
        """Commit offsets, `through` a transaction if there is one. Raises what the client or the transaction raises."""
        told = {tp: OffsetAndMetadata(offset, str(self._note_for(tp)), -1) for tp, offset in offsets.items()}
        if through is not None:
            through(told)
        else:
            self._consumer.commit(told, timeout_ms=_ANSWER_TIMEOUT_MS)
        for partition, offset in offsets.items():
            self._pinned.setdefault(partition.topic, partition)
            if partition in self._places:
                self._places[partition].committed = offset

    def skip_deleted(self, positions: Iterable[TopicPartition]) -> None:
        """Go to the start of partitions whose next record is gone: deleted by retention, or with its whole topic."""
        for partition in positions:
            try:
                here = self._consumer.position(partition, timeout_ms=_ANSWER_TIMEOUT_MS)
                start = self._consumer.beginning_offsets([partition], timeout_ms=_ANSWER_TIMEOUT_MS)[partition]
            except (kafka_errors.RetriableError, kafka_errors.IllegalStateError):
                return  # the broker is away, or the partition is already gone: the next poll reports it again
            where = f"{partition.topic}/{partition.partition}"
            if here is not None and here < start:
                _log.warning(
                    "%d records of %s (offsets %d to %d) were deleted before they were read: lengthen the topic's "
                    "retention, or start more workers",
                    start - here, where, here, start - 1,
                )  # fmt: skip
                self._missed[partition.topic] += start - here
            else:
                _log.warning(
                    "%s ends before offset %s: it was truncated or created again, and is read from its start",
                    where,
                    here,
                )
            self._consumer.seek(partition, start)
            self._starts[partition] = Start(start, ours=False)

    def recall(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Ask for committed offsets. Raises what the client raises."""
        answers = {part: self._committed(TopicPartition(*part)) for part in partitions}
        found = {part: answer.offset for part, answer in answers.items() if answer is not None}
        for part, offset in found.items():
            if (place := self._places.get(TopicPartition(*part))) is not None:
                place.committed = offset
        return found

    def committed(self) -> Mapping[Partition, int]:
        """The committed offset of each of our partitions."""
        return {Partition(*part): place.committed for part, place in self._places.items()}

    def positions(self) -> Mapping[Partition, Position]:
        """How many records lie between the commit and the end of each partition, and the age of the last one read.

        Records that an open transaction holds back are lag too: the end is what the broker says now or what the last
        fetch saw, whichever is further.
        """
        parts = self._places.keys() & self._consumer.assignment()
        if not parts:
            return {}
        try:
            ends = self._consumer.end_offsets(parts, timeout_ms=_LAG_TIMEOUT_MS)
        except kafka_errors.KafkaError:
            ends = {}
        now = time.time()
        found = {}
        for part in parts:
            place, end = self._places[part], max(ends.get(part) or 0, self._consumer.highwater(part) or 0)
            done = self._done(part) if ends else place.committed  # no question that nobody answers
            lag, readable = max(end - done, 0), max((ends.get(part) or 0) - done, 0)
            newest = place.since if place.newest is None else place.newest
            found[Partition(*part)] = Position(lag, max(now - newest, 0.0) if lag else 0.0, readable)
        return found

    def _done(self, partition: TopicPartition) -> int:
        """The offset up to which nothing is left to score: the committed one, or the one after markers that follow it.

        Once everything that was read is committed, only the markers of transactions put the client's position ahead.
        """
        place = self._places[partition]
        if place.committed < place.read:
            return place.committed
        try:
            position = self._consumer.position(partition, timeout_ms=_LAG_TIMEOUT_MS)
        except kafka_errors.KafkaError:  # the partition has just been taken away
            position = None
        return max(place.committed, position or 0)

    def _committed(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        found = self._consumer.committed(partition, metadata=True, timeout_ms=_ANSWER_TIMEOUT_MS)
        if found is not None:
            self._pinned.setdefault(partition.topic, partition)
        note = Note.read(found.metadata) if found is not None else None
        if note is not None and note.partitions is not None:
            self._began_with[partition.topic] = note.partitions
        return found

    def _begin(self, partition: TopicPartition) -> int:
        """Choose the first record of a partition to read, and commit its offset, from which the client continues."""
        to_the_end = self._latest and not self._added(partition)
        ask = self._consumer.end_offsets if to_the_end else self._consumer.beginning_offsets
        start: int = ask([partition], timeout_ms=_ANSWER_TIMEOUT_MS)[partition]
        self.commit({partition: start})
        return start

    def _added(self, partition: TopicPartition) -> bool:
        """Whether a partition was added to its topic after the group had begun to read it."""
        topic = partition.topic
        if topic in self._pinned and self._committed(self._pinned[topic]) is None:
            self._began_with[topic] = 0  # created again
        if topic not in self._began_with:
            others = sorted(self._consumer.partitions_for_topic(topic) - {partition.partition})
            known = [found for p in others if (found := self._committed(TopicPartition(topic, p))) is not None]
            added = known or topic not in self._topics
            self._began_with.setdefault(topic, 0 if added else len(others) + 1)
        return bool(partition.partition >= self._began_with[topic])

    def _note_for(self, partition: TopicPartition) -> Note:
        return Note(self._began_with.get(partition.topic), self._standings.get(Partition(*partition)))
