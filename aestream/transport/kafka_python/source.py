"""Source over kafka-python 3: the input topics, read as a member of a consumer group."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from aestream.errors import TransportError
from aestream.transport.base import CLOSE_SECONDS, TransactionalSink
from aestream.transport.kafka_python.errors import broker_errors
from aestream.transport.kafka_python.member import KafkaMember, committed_by
from aestream.transport.kafka_python.records import Polled, columns
from aestream.transport.places import Commit, Places, RefusedError
from aestream.transport.wording import Connection, matching, no_input
from aestream.types import Batch, Changes, Membership, Partition, Position, Standing

_QUESTION_TIMEOUT_MS = 1_000
_METADATA_MAX_AGE_MS = 30_000  # how soon new partitions, and new topics that a pattern matches, are seen
_AT_ONCE = 250  # records taken from the client before their size is looked at; then up to four times as many again
_SILENT_SECONDS = 2.0  # of a member without heartbeats
_PAUSE_SECONDS = 0.05  # between two polls that are to read nothing
_FETCH_SECONDS = 0.005  # that a fetch of what is there takes


class KafkaSource:
    """The input topics through a consumer group, with cooperative-sticky assignment.

    `connection` and `consumer` hold settings of KafkaConsumer under its own names. `topics` are names, or one regular
    expression that begins with ^. A batch has at most `max_records`, and is not added to once its values have
    `max_bytes`. Raises TransportError when a named topic does not exist.
    """

    def __init__(
        self,
        topics: Sequence[str],
        *,
        connection: Connection,
        group_id: str,
        max_records: int,
        max_bytes: int,
        max_wait: float,
        auto_offset_reset: str,
        **consumer: Any,
    ) -> None:
        self._connection = connection
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._static = self._back = "group_instance_id" in consumer  # such a member may have been here before
        self._silent_since: float | None = None
        self._name = ""  # the broker's for this member
        self._taken = _Taken()
        with broker_errors(connection):
            self._consumer = KafkaConsumer(
                **connection,
                group_id=group_id,
                enable_auto_commit=False,
                auto_offset_reset="none",  # Places chooses
                max_poll_records=max_records,
                fetch_max_bytes=max_bytes,
                metadata_max_age_ms=_METADATA_MAX_AGE_MS,
                allow_auto_create_topics=False,
                exclude_internal_topics=True,
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                **consumer,
            )
            if topics[0].startswith("^"):
                self._consumer.subscribe(pattern=topics[0], listener=self._taken)
            else:
                self._consumer.subscribe(topics=list(topics), listener=self._taken)
            # Asked after `subscribe`, so that the first join knows the topics' partitions and no second one follows.
            there = self._consumer.topics()
            if not topics[0].startswith("^"):
                self._need(topics, there)
        self._member = KafkaMember(self._consumer)
        self._places = Places(self._member, latest=auto_offset_reset == "latest", topics=there)
        if topics[0].startswith("^") and auto_offset_reset == "latest":
            with broker_errors(connection):
                self._places.look_back(matching(topics, there))

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        """Wait for records; gather for at most `max_wait` seconds those that are there."""
        with broker_errors(self._connection):
            parts = self._gather(timeout) if read else self._stand_by(timeout)
            self._see_whether_it_fell_out()
            gone = dict(self._taken.since())
            for partition, lost in gone.items():
                self._places.forget(Partition(*partition), lost=lost)
            self._places.settle()
            batch = columns(self._staying(parts, gone.keys()))
        self._places.note(batch)
        return batch

    def changes(self) -> Changes:
        """How our partitions have changed, up to the last poll."""
        return self._places.changes()

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        """Commit the offsets of partitions that are still ours; False when a rebalance prevents it.

        Raises NoAnswerError after ten seconds without an answer.
        """
        member = self._consumer.group_metadata()  # older than the look at what is ours, which it must not outlive
        mine = self._consumer.assignment() - self._taken.pending()  # one that went and came back is read anew
        stayed = member.member_id == self._name
        offsets = {part: offset for part, offset in positions.items() if part in mine}
        through: Commit | None = None
        if within is not None:
            # Without a generation, the broker would take this for a program that is in no group, and not refuse it.
            whole = stayed and member.generation_id >= 0 and len(offsets) == len(positions)
            if not whole and not within.ending:
                return False
            through = committed_by(within, member)
        elif not offsets:
            return True
        elif not stayed:
            return False
        with broker_errors(self._connection):
            try:
                self._places.commit(offsets, through)
            except RefusedError:
                return False
        return True

    def annotate(self, standings: Mapping[Partition, Standing]) -> None:
        """What the next commits say of their partitions, beside the offset."""
        self._places.annotate(standings)

    def membership(self) -> Membership:
        """This member's place in its group."""
        if self._consumer.group_metadata().state == MemberState.STABLE:
            return Membership.MEMBER
        return Membership.JOINING if self._join_in_flight() else Membership.OUTSIDE

    def joined(self) -> bool:
        """Whether the group is settled and every partition that is ours has a known start."""
        return self.membership() is Membership.MEMBER and self._places.settled()

    def answers(self) -> bool:
        """Whether the broker answers a small question within a second."""
        try:
            # only a client that has no partition has to look for one
            parts = itertools.chain((TopicPartition(*part) for part in self._places), self._known())
            some = list(itertools.islice(parts, 1))
            return bool(some and self._consumer.end_offsets(some, timeout_ms=_QUESTION_TIMEOUT_MS))
        except kafka_errors.KafkaError:
            return False

    def _known(self) -> Iterator[TopicPartition]:
        """All partitions of the input topics."""
        for topic in sorted(self._consumer.subscription() or ()):
            for partition in sorted(self._consumer.partitions_for_topic(topic) or ()):
                yield TopicPartition(topic, partition)

    def assigned(self) -> frozenset[Partition]:
        """The partitions whose start is known and committed: from here on none of their records is missed."""
        return frozenset(self._places)

    def committed(self) -> Mapping[Partition, int]:
        """The committed offset of each of these partitions."""
        return self._places.committed()

    def recall(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the group's coordinator. Raises NoAnswerError after ten seconds without an answer."""
        with broker_errors(self._connection):
            return self._places.recall(partitions)

    def positions(self) -> Mapping[Partition, Position]:
        """How far the commits of each of our partitions lag behind its end."""
        return self._places.positions()

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, from the client's own metadata."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Leave the group and close the connections."""
        with broker_errors(self._connection):
            self._consumer.close(autocommit=False, timeout_ms=int(timeout * 1000))

    def _need(self, topics: Sequence[str], there: Collection[str]) -> None:
        """Raise TransportError for topics that do not exist, whose records would never come."""
        missing = set(topics) - set(there)
        if missing:
            self._consumer.close(autocommit=False)
            raise TransportError(no_input(self._connection, missing))

    def _poll(self, timeout: float, room: int) -> Polled:
        """One poll of the client; nothing while the broker is away."""
        found: Polled = {}
        deleted: Collection[TopicPartition] = ()
        try:
            found = self._consumer.poll(timeout_ms=int(timeout * 1000), max_records=room)
        except kafka_errors.NoOffsetForPartitionError:
            pass  # a new partition: `settle` chooses where it begins
        except kafka_errors.OffsetOutOfRangeError as error:
            deleted = error.args[0]
        except kafka_errors.LogTruncationError as error:
            deleted = error.divergent_offsets
        except kafka_errors.RetriableError:
            pass
        self._places.skip_deleted({Partition(*part): self._member.position(part) for part in deleted})
        self._stay_with_the_join()
        self._see_whether_it_was_replaced()
        return found

    def _gather(self, timeout: float) -> list[Polled]:
        """Take what is there, a little at a time, so that large records do not come by the thousand.

        Nothing is held back for records that may yet come. Those are waited for that the broker has already, and, if
        some came before this call, those that have come since: one more fetch brings them.
        """
        parts: list[Polled] = []
        count = size = 0
        asked = min(_AT_ONCE, self._max_records)
        part = self._poll(0.0, asked) if self.membership() is Membership.MEMBER else {}
        since = bool(part)
        part = part or self._poll(timeout, asked)
        deadline = time.monotonic() + self._max_wait
        while part:
            taken = sum(map(len, part.values()))
            parts.append(part)
            count += taken
            size += sum(len(record.value or b"") for found in part.values() for record in found)
            left = max(deadline - time.monotonic(), 0.0)
            if count >= self._max_records or size >= self._max_bytes:
                break
            if self._more_is_stored(part):
                wait = left
            elif taken == asked:
                wait = 0.0
            elif since:
                wait, since = min(left, _FETCH_SECONDS), False
            else:
                break
            fits = (self._max_bytes - size) * count // max(size, 1)  # of the size of those before
            asked = max(1, min(self._max_records - count, max(_AT_ONCE, 4 * count), fits))
            part = self._poll(wait, asked)
        return parts or [{}]

    def _stand_by(self, timeout: float) -> list[Polled]:
        """Poll for the sake of the group alone: what comes is read again. The client may not resume what it pauses."""
        found = self._poll(timeout, 1)
        for partition, some in found.items():
            with contextlib.suppress(kafka_errors.IllegalStateError):  # it is no longer ours
                self._consumer.seek(partition, some[0].offset)
        if found:
            time.sleep(_PAUSE_SECONDS)
        return []

    def _staying(self, parts: Sequence[Polled], gone: AbstractSet[Partition]) -> list[Polled]:
        """The records of partitions whose start is known and that did not go while these were read.

        The records of the others are read again: here, from the committed offset, or by a new owner.
        """
        stay = set(self._places) - gone
        for partition in set(gone).union(*parts) - stay:
            first = next((part[partition][0].offset for part in parts if partition in part), None)
            resumes = self._places.resumes(partition)
            if (there := first if resumes is None else resumes) is not None:
                self._member.seek(partition, there)
        return [{partition: found for partition, found in part.items() if partition in stay} for part in parts]

    def _stay_with_the_join(self) -> None:
        """Keep the client working on a join until that has ended.

        kafka-python (3.0.12) leaves its loop if the reason for a join goes away while the join is under way: for a
        leader that has seen new partitions, or after a foreign member came and went. Then nothing reads the answer, and
        this member is outside its group for good. Also, a static leader that comes back gets its old partitions without
        a rebalance, does not know that it is the leader, and sees no new partitions: so it joins once more.
        """
        member = self.membership() is Membership.MEMBER
        if not member or self._back:
            self._back = self._back and not member
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001 - the client offers no other way

    def _see_whether_it_fell_out(self) -> None:
        """Count our partitions as lost if the broker knows this member by a new name.

        A member that is dropped in the middle of a join keeps its partitions, and its places in them, over the next one
        (kafka-python 3.0.12), although others have read on in between.
        """
        name = self._consumer.group_metadata().member_id
        if name and name != self._name:
            if self._name:
                self._taken.on_partitions_lost({TopicPartition(*partition) for partition in self._places})
            self._name = name

    def _see_whether_it_was_replaced(self) -> None:
        """Raise FencedInstanceIdError if another member has this one's permanent name.

        The broker says so to the next heartbeat. The client (3.0.12) then stops its heartbeats, and takes itself for a
        member until it commits something, which it may never do without partitions.
        """
        silent = self._static and not self._consumer._coordinator._heartbeat_enabled  # noqa: SLF001
        if not silent or self.membership() is not Membership.MEMBER:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
        elif time.monotonic() - self._silent_since > _SILENT_SECONDS:
            raise kafka_errors.FencedInstanceIdError

    def _join_in_flight(self) -> bool:
        join = self._consumer._coordinator._join_task  # noqa: SLF001 - the client's state does not show it
        return join is not None and not join.is_done

    def _more_is_stored(self, polled: Polled) -> bool:
        """Whether the broker had more of a partition than its last fetch; one offset more may be just a marker."""
        return any((self._consumer.highwater(tp) or 0) > found[-1].offset + 2 for tp, found in polled.items())


class _Taken(ConsumerRebalanceListener):  # type: ignore[misc]
    """The partitions that were taken away. Only takes notes: it is called on the client's own thread."""

    def __init__(self) -> None:
        self._partitions: deque[tuple[TopicPartition, bool]] = deque()  # appended to and read by two threads

    def since(self) -> Iterator[tuple[TopicPartition, bool]]:
        """Those since the last call, and whether they were lost."""
        while self._partitions:
            yield self._partitions.popleft()

    def pending(self) -> set[TopicPartition]:
        """Those that `since` has not returned yet."""
        return {partition for partition, _ in self._partitions.copy()}

    def on_partitions_assigned(self, assigned: set[Any]) -> None:
        """Do nothing: each poll looks up what is ours."""

    def on_partitions_revoked(self, revoked: set[Any]) -> None:
        for partition in revoked:
            self._partitions.append((partition, False))

    def on_partitions_lost(self, lost: set[Any]) -> None:
        for partition in lost:
            self._partitions.append((partition, True))
