"""Source over librdkafka: the input topics, read as a member of a consumer group."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from aestream.errors import AestreamError, NoAnswerError, TransportError
from aestream.transport.base import CLOSE_SECONDS, TransactionalSink
from aestream.transport.librdkafka import options
from aestream.transport.librdkafka.errors import COMMIT_REFUSED, PASSING, broker_errors, explained, said
from aestream.transport.librdkafka.member import ConfluentMember, in_librdkafkas_terms
from aestream.transport.librdkafka.records import columns
from aestream.transport.librdkafka.waiting import Call
from aestream.transport.places import ANSWER_SECONDS, Commit, Places, RefusedError
from aestream.transport.wording import Connection, matching, no_input
from aestream.types import Batch, Changes, Membership, Partition, Position, Standing

_log = logging.getLogger(__name__)

_CONTACT_MS = 30_000  # the default of `bootstrap_timeout_ms`
_QUESTION_SECONDS = 1.0
_METADATA_SECONDS = 30.0  # how often topics and their partitions are looked up
_AT_ONCE = 250  # records taken from the client before their size is looked at; then up to four times as many again
_JOINING_SECONDS = 0.05  # a member without its place looks so often whether it has that
_PAUSE_SECONDS = 0.05  # between two polls that are to read nothing
_FETCH_SECONDS = 0.005  # that a fetch of what is there takes
_DELETED = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION})
_KNOWN = PASSING | COMMIT_REFUSED | {KafkaError._MAX_POLL_EXCEEDED}  # librdkafka goes on by itself


class ConfluentSource:
    """The input topics through a consumer group, with cooperative-sticky assignment.

    `connection` and `consumer` hold settings under aestream's names. `topics` are names, or one regular expression that
    begins with ^. A batch has at most `max_records`, and is not added to once its values have `max_bytes`. Raises
    TransportError when a named topic does not exist.
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
        self._topics = topics
        self._connection = connection
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._subscribed: list[str] = []
        self._looked: dict[str, float] = {}  # when a topic, or all for a pattern, were looked up
        self._deleted: dict[Partition, int | None] = {}  # partitions whose next record is gone, and where we are there
        self._kept: list[Message] = []  # came while nothing was to be read
        self._listing: Call[Mapping[str, int]] | None = None
        self._fatal: KafkaError | None = None
        self._closed = False
        self._back = "group_instance_id" in consumer  # such a member may have been here before
        chosen = options.reading(connection, max_bytes=max_bytes, group_id=group_id, **consumer)
        with broker_errors(connection):
            self._consumer = Consumer({**chosen, "stats_cb": self._hear_statistics, "error_cb": self._hear_error})
            self._asker = Consumer({**chosen, "statistics.interval.ms": 0, "log_level": 0})
        self._member = ConfluentMember(self._consumer, self._asker, connection)
        try:
            there = self._contact()
            self._places = Places(self._member, latest=auto_offset_reset == "latest", topics=there)
            if topics[0].startswith("^") and auto_offset_reset == "latest":
                self._look_back(matching(topics, there))
            self._subscribe(there)
        except AestreamError:
            self.close()
            raise

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        """Wait for records; gather for at most `max_wait` seconds those that are there."""
        deadline = time.monotonic() + timeout
        messages: list[Message] = []
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            wait = left if self.joined() else min(left, _JOINING_SECONDS)
            messages = self._gather(wait) if read else self._stand_by(wait)
            gone = dict(self._member.gone())
            for partition, lost in gone.items():
                self._places.forget(partition, lost=lost)
                self._deleted.pop(partition, None)
            self._deleted = self._places.skip_deleted(self._deleted)  # librdkafka reports each once
            came = self._places.settle()
            if came:
                self._looked.clear()  # they may be partitions that were added
            if messages or came or gone or wait >= left:
                break
        if gone:  # another member reads these, or we do, from the committed offset
            messages, self._kept = (
                [one for one in some if (one.topic(), one.partition()) not in gone] for some in (messages, self._kept)
            )
        batch = columns(messages, one_topic=len(self._subscribed) == 1)
        self._places.note(batch)
        self._follow_the_pattern()
        if self._back and self._member.membership is Membership.MEMBER:
            # A static leader that comes back gets its old partitions without a rebalance, does not know that it is the
            # leader, and sees no new partitions: so it joins once more.
            self._back = False
            with broker_errors(self._connection):
                self._consumer.unsubscribe()  # the same subscription again would change nothing
            self._join()
        return batch

    def changes(self) -> Changes:
        """How our partitions have changed, up to the last poll."""
        return self._places.changes()

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        """Commit the offsets of partitions that are still ours; False when a rebalance prevents it.

        Raises NoAnswerError after a second without an answer. What librdkafka knows of the group at this moment may
        be newer than what we do; but a partition is another member's only once we have polled and given it up.
        """
        mine = self._member.mine()
        offsets = {part: offset for part, offset in positions.items() if part in mine}
        through: Commit | None = None
        if within is not None:
            with broker_errors(self._connection):
                identity = self._member.identity()
            if (identity is None or len(offsets) < len(positions)) and not within.ending:
                return False
            through = _committed_by(within, identity)
        elif not offsets:
            return True
        try:
            self._places.commit(offsets, through)
        except RefusedError:
            return False
        return True

    def annotate(self, standings: Mapping[Partition, Standing]) -> None:
        """What the next commits say of their partitions, beside the offset."""
        self._places.annotate(standings)

    def membership(self) -> Membership:
        """This member's place in its group, as of the last second."""
        return self._member.membership

    def joined(self) -> bool:
        """Whether the group is settled and every partition that is ours has a known start."""
        return self._member.membership is Membership.MEMBER and self._places.settled()

    def answers(self) -> bool:
        """Whether the broker answers a small question within a second."""
        some = next(iter(self._places), None) or Partition(self._subscribed[0], 0)
        return self._member.answers([some], timeout=_QUESTION_SECONDS)

    def assigned(self) -> frozenset[Partition]:
        """The partitions whose start is known and committed: from here on none of their records is missed."""
        return frozenset(self._places)

    def committed(self) -> Mapping[Partition, int]:
        """The committed offset of each of these partitions."""
        return self._places.committed()

    def recall(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask the group's coordinator. Raises NoAnswerError after ten seconds without an answer."""
        return self._places.recall(partitions)

    def positions(self) -> Mapping[Partition, Position]:
        """How far the commits of each of our partitions lag behind its end."""
        return self._places.positions()

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, looked up twice a minute at most."""
        if self._due(topic):
            self._member.look_up([topic])
        return self._member.count(topic)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Leave the group and close the connections."""
        if not self._closed:
            self._closed = True
            until = time.monotonic() + timeout
            if self._member.quiet(timeout):  # a client that is closed in the middle of a question would crash
                for client in (self._consumer, self._asker):
                    Call(client.close).over(max(until - time.monotonic(), 0.0))

    def _contact(self) -> list[str]:
        """The names of all topics that this user is shown, once a broker tells; those that were named are there."""
        timeout = self._connection.get("bootstrap_timeout_ms", _CONTACT_MS) / 1000
        with broker_errors(self._connection):
            there = self._member.metadata((), timeout)
            if not self._topics[0].startswith("^"):
                there = self._member.metadata(self._topics, timeout)  # makes it where the broker makes topics
                missing = [topic for topic in self._topics if not there.get(topic)]
                if missing:
                    raise TransportError(no_input(self._connection, missing))
        return [name for name, partitions in there.items() if partitions]

    def _subscribe(self, there: Collection[str]) -> None:
        """Subscribe to the topics. A pattern is matched here: librdkafka's regular expressions are not Python's."""
        wanted = matching(self._topics, there) or list(self._topics)
        if wanted != self._subscribed:
            self._subscribed = wanted
            self._join()

    def _join(self) -> None:
        """Join the group, or let it know that the subscription has changed."""
        member = self._member
        with broker_errors(self._connection):
            self._consumer.subscribe(
                self._subscribed, on_assign=member.on_assign, on_revoke=member.on_revoke, on_lost=member.on_lost
            )

    def _follow_the_pattern(self) -> None:
        """Read topics that the pattern matches since a while."""
        if self._topics[0].startswith("^") and self._due("^"):
            self._listing = self._member.look_up(())
        if self._listing is not None and self._listing.over(0.0):
            listing, self._listing = self._listing, None
            with contextlib.suppress(TransportError, KafkaException):  # another time
                self._subscribe([name for name, partitions in listing.wait(0.0).items() if partitions])

    def _due(self, what: str) -> bool:
        """Whether something has not been looked up for a while; it is now."""
        now = time.monotonic()
        if now - self._looked.get(what, -_METADATA_SECONDS) < _METADATA_SECONDS:
            return False
        self._looked[what] = now
        return True

    def _look_back(self, topics: Collection[str]) -> None:
        """See which topics the group has read. On a cluster without any group yet, the first answer is an error."""
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                self._places.look_back(topics)
            except NoAnswerError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _gather(self, timeout: float) -> list[Message]:
        """Take what is there, a little at a time, so that large records do not come by the thousand.

        Nothing is held back for records that may yet come. Those are waited for that the broker has already, and, if
        some came before this call, those that have come since: one more fetch brings them. librdkafka waits until it
        has all that is asked for: so one record is waited for, and the others are taken.
        """
        kept, self._kept = self._kept[: self._max_records], self._kept[self._max_records :]
        messages = kept + self._take(min(_AT_ONCE, self._max_records - len(kept)), 0.0)
        since = bool(messages)
        messages = messages or self._take(1, timeout)
        size = sum(map(len, messages))
        deadline = time.monotonic() + self._max_wait
        while 0 < (count := len(messages)) < self._max_records and size < self._max_bytes:
            fits = (self._max_bytes - size) * count // max(size, 1)  # of the size of those before
            asked = max(1, min(self._max_records - count, max(_AT_ONCE, 4 * count), fits if count > 1 else _AT_ONCE))
            part = self._take(asked, 0.0)
            if not part:
                left = max(deadline - time.monotonic(), 0.0)
                if self._more_is_stored(messages[-1]):
                    wait = left
                elif since:
                    wait, since = min(left, _FETCH_SECONDS), False
                else:
                    break
                part = self._take(1, wait)
            if not part:
                break
            messages += part
            size += sum(map(len, part))
        return messages

    def _stand_by(self, timeout: float) -> list[Message]:
        """Poll for the sake of the group alone: what comes is kept, as to go back would empty the client's queue."""
        found = self._take(1, timeout)
        if found:
            self._kept += found
            time.sleep(_PAUSE_SECONDS)
        return []

    def _take(self, count: int, timeout: float) -> list[Message]:
        """Records, without what librdkafka has to say beside them; nothing while the broker is away."""
        try:
            found: list[Message] = self._consumer.consume(count, timeout)
        except KafkaException as raised:
            self._hear(raised.args[0])
            return []
        if self._fatal is not None:
            raise explained(self._fatal, self._connection)
        told = [message for message in found if message.error() is not None]
        if not told:
            return found
        for message in told:
            error, partition = message.error(), Partition(message.topic(), message.partition())
            if error.code() == KafkaError._PARTITION_EOF:
                self._member.reached(partition, message.offset())
            elif error.code() in _DELETED:
                self._deleted[partition] = message.offset() if message.offset() >= 0 else None
            else:
                self._hear(error, about=partition.topic or "")
        return [message for message in found if message.error() is None]

    def _hear(self, error: KafkaError, *, about: str = "") -> None:
        """Raise what librdkafka cannot go on with."""
        if error.fatal() or error.code() not in _KNOWN:
            raise explained(error, self._connection, about=about)
        _log.debug("librdkafka reports: %s", said(error))

    def _more_is_stored(self, last: Message) -> bool:
        """Whether the broker had more of a partition than its last fetch; one offset more may be just a marker."""
        partition = Partition(last.topic(), last.partition())
        return self._member.last_seen_end(partition) - 2 > int(last.offset())

    def _hear_statistics(self, text: str) -> None:
        self._member.on_statistics(text)

    def _hear_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error


def _committed_by(sink: TransactionalSink, identity: bytes | None) -> Commit:
    return lambda offsets: sink.commit(in_librdkafkas_terms(offsets), identity)
