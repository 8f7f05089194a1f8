"""Where each of our partitions begins, how far it is committed, and how far that is behind its end."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from aestream.errors import NoAnswerError, TransportError
from aestream.transport.notes import Note
from aestream.types import Batch, Changes, Partition, Position, Standing, Start

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0  # a question that takes longer is asked again after the next poll
_LAG_SECONDS = 1.0
Stored = tuple[int, str]  # an offset as it is committed, with its note
Commit = Callable[[Mapping[Partition, Stored]], None]


class RefusedError(TransportError):
    """A rebalance took partitions away, or is under way: the records come again, to the partitions' next owner."""


class Member(Protocol):
    """What Places asks of a Kafka client that is a member of the group. The client itself chooses no offset.

    Questions raise NoAnswerError when the broker is away, or a partition has just been taken away: ask again after the
    next poll. A commit raises RefusedError, too.
    """

    def mine(self) -> Collection[Partition]:
        """The partitions that the group has given to this member."""
        ...

    def partitions_of(self, topic: str) -> Collection[int]:
        """The partitions of a topic, as far as the client knows."""
        ...

    def stored(self, partitions: Collection[Partition]) -> Mapping[Partition, Stored]:
        """What is committed, of those partitions that have a committed offset."""
        ...

    def begins(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The first offset of each partition."""
        ...

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The offset after the last record of each partition that can be read."""
        ...

    def recent_ends(self, partitions: Collection[Partition], *, timeout: float) -> Mapping[Partition, int]:
        """The same as of the last second or two, without waiting for long; nothing if the broker is away."""
        ...

    def commit(self, offsets: Mapping[Partition, Stored]) -> None:
        """Commit offsets with their notes."""
        ...

    def begin_at(self, starts: Mapping[Partition, int]) -> None:
        """Read partitions that have just become ours from these offsets, which are committed, on."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on elsewhere; nothing happens if the partition is no longer ours."""
        ...

    def position(self, partition: Partition) -> int | None:
        """The offset of the next record to be read, after markers of transactions; None if not known."""
        ...

    def last_seen_end(self, partition: Partition) -> int:
        """The end of a partition as the last fetch saw it, records of open transactions included; 0 if not known."""
        ...


@dataclass(slots=True)
class _Place:
    """One partition: the committed offset, the offset after the last record read, and times in seconds."""

    committed: int
    read: int
    newest: float | None  # the timestamp of the newest record read; None before the first
    since: float  # when it became ours


class Places:
    """The offsets of our partitions.

    A partition without a committed offset begins at its start; with `latest`, at its end. A partition that was added to
    its topic after the group had begun to read that begins at its start even with `latest`. To tell which were added,
    the group's commits carry a note of how many partitions the topic had at the beginning. If an offset was committed
    without the note, every other partition counts as added. So do all partitions of a topic that is not among `topics`,
    the topics that existed when this member started, and of a topic that was deleted and created again: the broker
    drops a topic's offsets with the topic.
    """

    def __init__(self, member: Member, *, latest: bool, topics: Collection[str]) -> None:
        self._member = member
        self._latest = latest
        self._topics = topics
        self._places: dict[Partition, _Place] = {}
        self._began_with: dict[str, int] = {}  # partitions of a topic when the group began to read it
        self._pinned: dict[str, Partition] = {}  # one partition of a topic that had a committed offset
        self._standings: dict[Partition, Standing] = {}
        self._starts: dict[Partition, Start] = {}  # these five: not reported yet
        self._came: set[Partition] = set()
        self._revoked: set[Partition] = set()
        self._lost: set[Partition] = set()
        self._missed: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._places)

    def look_back(self, topics: Iterable[str]) -> None:
        """If the group has offsets for some of `topics`, count the others as added."""
        self._stored([Partition(topic, p) for topic in topics for p in self._member.partitions_of(topic)])
        if self._pinned:
            self._topics = set(self._pinned)

    def changes(self) -> Changes:
        """Which partitions came and went, and which records were missed, since the last call."""
        came, revoked, lost = map(frozenset, (self._came, self._revoked, self._lost))
        changes = Changes(self._starts, came, revoked, lost, self._missed)
        self._starts, self._came, self._revoked, self._lost, self._missed = {}, set(), set(), set(), Counter()
        return changes

    def forget(self, partition: Partition, *, lost: bool = False) -> None:
        """Drop a partition that was taken away, even if it came back at once: another member had it in between."""
        if self._places.pop(partition, None) is None:
            return
        self._starts.pop(partition, None)
        if partition in self._came:
            self._came.discard(partition)
        else:
            (self._lost if lost else self._revoked).add(partition)

    def settle(self) -> bool:
        """Find out where each of our new partitions begins, and commit that before any of its records is scored.

        Without this commit, a worker with `latest` that was killed before its first commit would begin at the end once
        more. A question that the broker does not answer in time is asked again at the next call. Returns whether there
        are partitions whose start is known now.
        """
        mine = set(self._member.mine())
        for partition in self._places.keys() - mine:
            self.forget(partition)
        new = sorted(mine - self._places.keys())
        if not new:
            return False
        try:
            found = self._stored(new)
            begun = self._begin([partition for partition in new if partition not in found])
        except (NoAnswerError, RefusedError):
            return False  # the broker is away, or the partition is already gone
        starts = {**{partition: stored[0] for partition, stored in found.items()}, **begun}
        self._member.begin_at(starts)
        for partition, offset in starts.items():
            self._places[partition] = _Place(offset, offset, None, time.time())
            note = Note.read(found[partition][1]) if partition in found else None
            if note is not None and note.standing is not None:
                self._standings[partition] = note.standing  # until this member says something else
            self._starts[partition] = Start(offset, ours=note is not None)
            self._came.add(partition)
        return True

    def settled(self) -> bool:
        """Whether the start of all our partitions is known: from here on none of their records is missed."""
        return set(self._member.mine()) == self._places.keys()

    def note(self, batch: Batch) -> None:
        """Remember how far a batch reads."""
        for span in batch.spans:
            place = self._places.get(span.partition)
            if place is not None:
                place.read = batch.offsets[span.stop - 1] + 1
                place.newest = batch.timestamps[span.stop - 1] / 1000

    def annotate(self, standings: Mapping[Partition, Standing]) -> None:
        """What the notes of the next commits say of their partitions."""
        self._standings = dict(standings)

    def commit(self, offsets: Mapping[Partition, int], through: Commit | None = None) -> None:
        """Commit offsets, `through` a transaction if there is one. Raises what the member or the transaction raises."""
        (through or self._member.commit)({part: (offset, str(self._note(part))) for part, offset in offsets.items()})
        for partition, offset in offsets.items():
            self._pinned.setdefault(partition.topic, partition)
            if partition in self._places:
                self._places[partition].committed = offset

    def skip_deleted(self, positions: Mapping[Partition, int | None]) -> dict[Partition, int | None]:
        """Go to the start of partitions whose next record is gone: deleted by retention, or with its whole topic.

        Returns those where the broker does not say where that is, to be asked for again.
        """
        left = dict(positions)
        for partition, here in positions.items():
            try:
                start = self._member.begins([partition])[partition]
            except NoAnswerError:
                break  # the broker is away, or the partition is already gone
            del left[partition]
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
            self._member.seek(partition, start)
            self._starts[partition] = Start(start, ours=False)
        return left

    def recall(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask for committed offsets. Raises NoAnswerError."""
        found = {part: offset for part, (offset, _) in self._stored(partitions).items()}
        for part, offset in found.items():
            if (place := self._places.get(part)) is not None:
                place.committed = offset
        return found

    def committed(self) -> Mapping[Partition, int]:
        """The committed offset of each of our partitions."""
        return {part: place.committed for part, place in self._places.items()}

    def resumes(self, partition: Partition) -> int | None:
        """Where a partition would be read from if its records were dropped; None if it is not ours yet."""
        place = self._places.get(partition)
        return None if place is None else place.committed

    def positions(self) -> Mapping[Partition, Position]:
        """How many records lie between the commit and the end of each partition, and the age of the last one read.

        Records that an open transaction holds back are lag too: the end is what the broker says now or what the last
        fetch saw, whichever is further.
        """
        parts = self._places.keys() & set(self._member.mine())
        if not parts:
            return {}
        ends = self._member.recent_ends(parts, timeout=_LAG_SECONDS)
        now = time.time()
        found = {}
        for part in parts:
            place, end = self._places[part], max(ends.get(part, 0), self._member.last_seen_end(part))
            done = self._done(part) if ends else place.committed  # no question that nobody answers
            lag, readable = max(end - done, 0), max(ends.get(part, 0) - done, 0)
            newest = place.since if place.newest is None else place.newest
            found[part] = Position(lag, max(now - newest, 0.0) if lag else 0.0, readable)
        return found

    def _done(self, partition: Partition) -> int:
        """The offset up to which nothing is left to score: the committed one, or the one after markers that follow it.

        Once everything that was read is committed, only the markers of transactions put the client's position ahead.
        """
        place = self._places[partition]
        if place.committed < place.read:
            return place.committed
        return max(place.committed, self._member.position(partition) or 0)

    def _stored(self, partitions: Collection[Partition]) -> Mapping[Partition, Stored]:
        found = self._member.stored(partitions)
        for partition, (_, text) in found.items():
            self._pinned.setdefault(partition.topic, partition)
            note = Note.read(text)
            if note is not None and note.partitions is not None:
                self._began_with[partition.topic] = note.partitions
        return found

    def _begin(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Choose the first record of partitions without an offset, and commit that: the client continues there."""
        if not partitions:
            return {}
        to_the_end = [part for part in partitions if self._latest and not self._added(part)]
        to_the_start = [part for part in partitions if part not in to_the_end]
        starts: dict[Partition, int] = {}
        for some, ask in ((to_the_end, self._member.ends), (to_the_start, self._member.begins)):
            if some:
                starts.update(ask(some))
        self.commit(starts)
        return starts

    def _added(self, partition: Partition) -> bool:
        """Whether a partition was added to its topic after the group had begun to read it."""
        topic = partition.topic
        if topic in self._pinned and not self._stored([self._pinned[topic]]):
            self._began_with[topic] = 0  # created again
        if topic not in self._began_with:
            others = [Partition(topic, p) for p in sorted(self._member.partitions_of(topic)) if p != partition[1]]
            added = self._stored(others) or topic not in self._topics
            self._began_with.setdefault(topic, 0 if added else len(others) + 1)
        return partition.partition >= self._began_with[topic]

    def _note(self, partition: Partition) -> Note:
        return Note(self._began_with.get(partition.topic), self._standings.get(partition))
