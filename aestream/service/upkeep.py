"""What the loop does about the entities that are remembered, beside judging their records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from aestream.errors import TooLargeError
from aestream.messages.scores import Scored
from aestream.pipeline import Pipeline
from aestream.service.idle import Idle
from aestream.service.meter import Meter
from aestream.service.warming import Warming
from aestream.state.splits import in_words
from aestream.types import Batch, Key, Memory, Outgoing, Partition, Position, Split

_log = logging.getLogger(__name__)

Publish = Callable[[Sequence[Outgoing]], None]


class Upkeep:
    """Ends the episodes of silent entities, forgets entities in time, and reports what is remembered.

    `publish` returns when the messages are acknowledged, and `sendable(topic)` is the largest message that a topic
    accepts. `max_bytes` bounds what is remembered.
    """

    def __init__(
        self,
        meter: Meter,
        *,
        publish: Publish,
        sendable: Callable[[str], int],
        max_bytes: int,
        idle: Idle | None = None,
    ) -> None:
        self._meter = meter
        self._publish = publish
        self._sendable = sendable
        self._max_bytes = max_bytes
        self._idle = idle or Idle()
        self._closed: Collection[tuple[Partition, Key, float]] = ()  # entities, and when they were seen last
        self._warming = Warming()
        self._warned = False

    def heard(self, batch: Batch) -> None:
        """A batch was read."""
        self._idle.heard(span.partition for span in batch.spans)

    def judged(self, scored: Scored) -> None:
        """A batch was judged: warn where hardly any record can be flagged."""
        share = None if scored.status is None else self._warming.see(scored.status)
        if share is not None:
            _log.warning(
                "%.0f%% of the last records are warming, and cannot be flagged: their entities are new, or they come "
                "after a gap. Check that `key` names what tells entities apart, and `time` the field with the time of "
                "each record",
                100 * share,
            )

    def tidy(self, pipeline: Pipeline, positions: Mapping[Partition, Position]) -> Memory:
        """Do what is due; `positions` are those of our partitions, none while the broker does not answer."""
        self._close(pipeline, self._idle.look(positions))
        memory = pipeline.stream.tidy(self._max_bytes)
        self._meter.remembers(memory)
        if memory.split is not None and not self._warned:
            self._warned = True
            _log.warning("%s", _told(memory.split))
        return memory

    def _close(self, pipeline: Pipeline, idle: Mapping[Partition, float]) -> None:
        """Publish the end of the episode of each entity that fell silent, once for each silence."""
        silent = {(one.partition, one.key, one.seen): one for one in pipeline.stream.silent(idle)}
        new = [one for which, one in silent.items() if which not in self._closed]
        ended = pipeline.ended(new)
        while ended:
            try:
                self._publish([pipeline.closings(ended, self._sendable)])
            except TooLargeError as error:
                _log.warning("%s; a message that ends an episode is left out", error)
            else:
                break
        self._closed = silent.keys()


def _told(split: Split) -> str:
    (topic, one), (_, other) = split.partitions
    key = in_words(split.key)
    return (
        f"one entity is spread over several partitions: {key} over {topic}/{one} and {topic}/{other}. Each part is "
        "judged by itself: produce the records of an entity with the same message key, or name in `key` what the topic "
        "is keyed by"
    )
