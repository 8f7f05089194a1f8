"""When an offset may be committed: the delivery guarantee, as numbered steps.

This is at-least-once; exactly-once would be a transaction around the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from aestream.errors import DeliveryError, NoAnswerError
from aestream.transport.base import Sink, Source
from aestream.types import Batch, Outgoing, Partition

_FLUSH_SECONDS = 1.0


class AtLeastOnce:
    """Every record's result is acknowledged before its offset is committed.

    After a kill between the two, the records are read again: consumers of the results see duplicates with the same
    `ce_id` or `source`, and never a gap.
    """

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._uncommitted: dict[Partition, int] = {}

    def publish(
        self, results: Sequence[Outgoing], *, patience: Callable[[], bool], topic_by_topic: bool = False
    ) -> None:
        """Steps 1 and 2."""
        # Step 1: hand over every result of the batch.
        for messages in results:
            if len(messages):
                self._sink.send(messages, keep=self._alike(messages))
                if topic_by_topic:
                    self._acknowledged(patience)
        # Step 2: wait for all acknowledgements, through an outage of the broker if need be.
        self._acknowledged(patience)

    def _acknowledged(self, patience: Callable[[], bool]) -> None:
        while not self._sink.flush(_FLUSH_SECONDS):
            if not patience():
                raise DeliveryError("the broker did not acknowledge the results before the shutdown timed out")

    def _alike(self, messages: Outgoing) -> AbstractSet[str]:
        """The input topics with as many partitions as the result topic: results keep their record's partition."""
        count = self._sink.partition_count(messages.topic)
        return {
            topic
            for topic in {source.topic for source in messages.sources}
            if self._source.partition_count(topic) == count
        }

    def commit(self, batch: Batch, *, patience: Callable[[], bool]) -> bool:
        """Step 3: commit the batch.

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

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop offsets of partitions that were taken away: another member may have committed further since."""
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    @property
    def uncommitted(self) -> Mapping[Partition, int]:
        """Offsets whose results are published, and that are not committed yet."""
        return self._uncommitted
