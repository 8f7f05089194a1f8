"""For how long there has been nothing to read in a partition, by the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from aestream.types import Partition, Position

# Between two looks no more than this counts, in seconds: while the process was stopped, it knew nothing.
MOST = 10.0


class Idle:
    """Counts the seconds since the last record of each partition, as far as they are known to be silent.

    Only time in which the broker answers and everything is read and committed counts: neither an outage nor lag is
    silence. `clock` is in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[Partition, float] = {}
        self._looked = clock()

    def heard(self, partitions: Iterable[Partition]) -> None:
        """There were records of these partitions."""
        for partition in partitions:
            self._seconds[partition] = 0.0

    def look(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, float]:
        """Go on from the last look; `positions` are those of our partitions, none while the broker does not answer."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, MOST), now
        if positions:
            self._seconds = {
                partition: self._seconds.get(partition, 0.0) + (0.0 if position.lag_records else passed)
                for partition, position in positions.items()
            }
        return self._seconds
