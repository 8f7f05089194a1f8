"""What the loop does about the entities that are remembered, beside judging their records."""

from __future__ import annotations

import logging

from aestream.detector.stream import Stream
from aestream.service.meter import Meter
from aestream.types import Memory, Split

_log = logging.getLogger(__name__)


class Upkeep:
    """Forgets entities in time, and reports what is remembered. `max_bytes` bounds that."""

    def __init__(self, meter: Meter, *, max_bytes: int) -> None:
        self._meter = meter
        self._max_bytes = max_bytes
        self._warned = False

    def tidy(self, stream: Stream) -> Memory:
        """Forget what is old or too much, set the metrics, and warn once of entities that come by two partitions."""
        memory = stream.tidy(self._max_bytes)
        self._meter.remembers(memory)
        if memory.split is not None and not self._warned:
            self._warned = True
            _log.warning("%s", _told(memory.split))
        return memory


def _told(split: Split) -> str:
    (topic, one), (_, other) = split.partitions
    key = "records without a key" if split.key is None else f"{split.key!r}"
    return (
        f"one entity comes by several partitions: {key} by {topic}/{one} and {topic}/{other}. Each part is judged by "
        "itself: produce the records of an entity with the same message key, or name in `key` what the topic is keyed "
        "by"
    )
