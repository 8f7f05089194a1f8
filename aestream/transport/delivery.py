"""When an offset may be committed: the delivery guarantee, as numbered steps.

    1. Begin a transaction.                                  (exactly once)
    2. Hand over every result of the batch.
    3. Wait until all are acknowledged.
    4. Commit the batch's offsets. The results appear now    (exactly once), or are there already (at least once).

What belongs to no batch, such as what is remembered of entities, takes the same steps after these.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from aestream.errors import (
    AestreamError,
    DeliveryError,
    NoAnswerError,
    TransactionError,
    TransportError,
)
from aestream.transport.base import Outlet, Sink, Source, TransactionalSink
from aestream.types import Batch, Outgoing, Partition

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0
_MOST_ATTEMPTS = 10  # transactions that fail one after the other
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 5.0  # before the next one
_OUTLET_SECONDS = 10.0  # in which no batch is published
_NEVER = "the broker did not acknowledge the results in time"

Patience = Callable[[], bool]


class _Outlet:
    """Publishes what belongs to no batch the way that a delivery does."""

    def __init__(self, record: Callable[..., None], close: Callable[[], None]) -> None:
        self.record = record
        self.close = close


class AtLeastOnce:
    """Every record's result is acknowledged before its offset is committed.

    After a kill between the two, the records are read again: consumers of the results see duplicates with the same
    `ce_id` or `source`, and never a gap.
    """

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._uncommitted: dict[Partition, int] = {}

    def publish(self, results: Sequence[Outgoing], *, patience: Patience, topic_by_topic: bool = False) -> None:
        """Steps 2 and 3, through an outage of the broker if need be."""
        for messages in results:
            if len(messages):
                self._sink.send(messages, keep=self._alike(messages))
                if topic_by_topic:
                    self._acknowledged(patience)
        self._acknowledged(patience)

    def record(self, messages: Sequence[Outgoing], *, patience: Patience) -> None:
        """Steps 2 and 3: there is no offset to commit."""
        self.publish(messages, patience=patience)

    def commit(self, batch: Batch, *, patience: Patience) -> bool:
        """Step 4.

        Waits for a broker that does not answer: while it is away, nothing is published that would come twice.
        """
        self._uncommitted.update(batch.positions)
        if not self._uncommitted:
            return True
        while True:
            try:
                done = self._source.commit(self._uncommitted)
            except NoAnswerError:
                if patience():
                    continue
                return False
            if done:
                self._uncommitted = {}
            return done

    def outlet(self, open_sink: Callable[[], Sink]) -> Outlet:
        """Another sink: what it waits for holds up no batch."""
        sink = open_sink()
        return _Outlet(AtLeastOnce(self._source, sink).record, sink.close)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop offsets of partitions that were taken away: another member may have committed further since."""
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    @property
    def aborted(self) -> int:
        """None: there are no transactions."""
        return 0

    @property
    def uncommitted(self) -> Mapping[Partition, int]:
        """Offsets whose results are published, and that are not committed yet."""
        return self._uncommitted

    def _acknowledged(self, patience: Patience) -> None:
        while not self._sink.flush(_FLUSH_SECONDS):
            if not patience():
                raise DeliveryError(_NEVER)

    def _alike(self, messages: Outgoing) -> AbstractSet[str]:
        """The input topics with as many partitions as the result topic: results keep their record's partition."""
        count = self._sink.partition_count(messages.topic)
        return {
            topic
            for topic in {source.topic for source in messages.sources}
            if self._source.partition_count(topic) == count
        }


class ExactlyOnce(AtLeastOnce):
    """The results of a batch and its offsets are one transaction: consumers that read committed ones see each once.

    The transaction carries the member's place in its group, so that one that was replaced can publish nothing. What a
    transaction held is kept until it is known to be committed. If the broker ends it, a next one begins with that,
    unless the broker has the offsets: then only the answer was lost.
    """

    _sink: TransactionalSink

    def __init__(self, source: Source, sink: TransactionalSink) -> None:
        super().__init__(source, sink)
        self._held: list[Outgoing] = []  # acknowledged, and not committed yet
        self._begun = False
        self._spoilt = False  # by something that is not to be published after all
        self._unsure = False  # whether what is held is committed
        self._failures = 0
        self._aborted = 0

    @property
    def aborted(self) -> int:
        """How many transactions the broker has ended."""
        return self._aborted

    def publish(self, results: Sequence[Outgoing], *, patience: Patience, topic_by_topic: bool = False) -> None:
        """Steps 1 to 3; begins anew if the transaction is ended by the broker."""
        if self._begun and self._sink.ending:  # a commit without an answer, which was not waited for any longer
            done = self.commit(Batch(), patience=patience)
            if self._begun and not done:
                raise DeliveryError(_NEVER)
            self._spoilt = self._spoilt or self._begun  # nothing of what it held is ours any more
        while True:
            try:
                self._begin(patience)
                super().publish(results, patience=patience, topic_by_topic=topic_by_topic)
            except TransactionError as error:
                self._recover(error, patience)
            except AestreamError:
                self._abort()
                raise
            else:
                break
        self._held += results

    def record(self, messages: Sequence[Outgoing], *, patience: Patience) -> None:
        """All steps, in a transaction of its own; if its commit is refused, the next one carries the messages."""
        super().record(messages, patience=patience)
        self.commit(Batch(), patience=patience)

    def commit(self, batch: Batch, *, patience: Patience) -> bool:
        """Step 4; with all steps before it, if the transaction is ended by the broker."""
        if self._unsure:
            self._learn(patience)
        self._uncommitted.update(batch.positions)
        while self._held or self._uncommitted:
            try:
                self._begin(patience)
                if not self._source.commit(self._positions(), within=self._sink):
                    self._abort()
                    return False
            except NoAnswerError:
                if not patience():
                    return False
            except TransactionError as error:
                self._unsure = True
                self._recover(error, patience)
                self._learn(patience)
            else:
                self._settle()
        return True

    def outlet(self, open_sink: Callable[[], Sink]) -> Outlet:  # noqa: ARG002 - it would know no transaction
        """The same transactions, with less patience: what fails is aborted, and no batch is in one of these."""

        def record(messages: Sequence[Outgoing], *, patience: Patience) -> None:
            until = time.monotonic() + _OUTLET_SECONDS
            self.record(messages, patience=lambda: patience() and time.monotonic() < until)

        return _Outlet(record, lambda: None)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop the offsets and the results of partitions that were taken away: another member publishes them."""
        super().forget(partitions)
        held = [messages.without(partitions) for messages in self._held]
        self._held = [messages for messages in held if len(messages)]

    def _begin(self, patience: Patience) -> None:
        """Step 1, unless it is done; with steps 2 and 3 for what a former transaction held."""
        self._learn(patience)
        if not self._begun:
            self._sink.begin()
            self._begun = True
            if self._held:
                super().publish(self._held, patience=patience)

    def _positions(self) -> dict[Partition, int]:
        """The offsets to commit; where only messages are, the committed ones again, so that a zombie is refused."""
        owners = set[Partition]().union(*(messages.owners for messages in self._held))
        committed = self._source.committed()
        return {owner: committed.get(owner, 0) for owner in owners} | self._uncommitted

    def _learn(self, patience: Patience) -> None:
        """End the last transaction; if it is not known how its commit ended, ask for the offsets that it carried."""
        if self._spoilt:
            self._reset(patience)
        while self._unsure:
            try:
                there = self._source.recall(self._uncommitted)
            except NoAnswerError as error:
                if not patience():
                    raise DeliveryError(_NEVER) from error
            else:
                self._unsure = False
                # all or none of them were: a partition that has gone on since is another member's
                if any(there.get(part) == offset for part, offset in self._uncommitted.items()):
                    self._settle()

    def _settle(self) -> None:
        """All that was held is committed."""
        self._held, self._uncommitted = [], {}
        self._begun, self._failures = False, 0

    def _abort(self) -> None:
        """End the transaction now, if that is quick; else before the next one."""
        self._begun = False
        self._spoilt = not self._sink.abort()

    def _recover(self, error: TransactionError, patience: Patience) -> None:
        self._failures += 1
        self._aborted += 1
        if self._failures > _MOST_ATTEMPTS:
            raise DeliveryError(f"{_MOST_ATTEMPTS} transactions in a row were not committed, the last one: {error}")
        _log.warning("a transaction was not committed, and what it held is published again: %s", error)
        self._reset(patience)
        time.sleep(min(_FIRST_PAUSE_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS))

    def _reset(self, patience: Patience) -> None:
        """Leave no transaction behind."""
        self._begun, self._spoilt = False, True
        while patience():  # asked first: a next producer may wait ten seconds for a broker
            with contextlib.suppress(TransportError):
                self._sink.reset()
                self._spoilt = False
                return
        raise DeliveryError(_NEVER)
