"""Whether records that could be scored are not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from aestream.types import Partition, Position

_LONGEST_ROUND_SECONDS = 2.0  # the loop looks more often than this unless something holds it up
_ALONE = 5  # times as long, while other partitions go on: of very many, one may have to wait for its turn


class Progress:
    """Judges by what can be read and what is committed, so that a client that is stuck is not waited for.

    Only time during which the loop looks counts, and only while the broker answers: an outage is not a stall. Records
    that an open transaction holds back cannot be read yet. `timeout` is in seconds; `clock` never runs back.
    """

    def __init__(self, *, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._looked = clock()
        self._committed: Mapping[Partition, int] = {}
        self._stuck: dict[Partition, float] = {}  # seconds without a commit, while there is something to read
        self._still = 0.0  # the same of all partitions together

    def look(self, positions: Mapping[Partition, Position], committed: Mapping[Partition, int]) -> str | None:
        """Note where the partitions stand, none while nothing can be read; return what is stuck, in words."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, _LONGEST_ROUND_SECONDS), now
        before, self._committed = self._committed, dict(committed)
        waiting = {part for part, place in positions.items() if place.readable_records}
        same = {part for part in waiting if before.get(part) == committed.get(part)}
        self._stuck = {part: self._stuck.get(part, 0.0) + passed for part in same}
        self._still = self._still + passed if waiting and same == waiting else 0.0
        for part, seconds in self._stuck.items():
            if seconds > self._timeout * _ALONE or min(seconds, self._still) > self._timeout:
                return (
                    f"{positions[part].readable_records} records of {part.topic}/{part.partition} can be read, and "
                    f"none was scored for {seconds:.0f} s"
                )
        return None
