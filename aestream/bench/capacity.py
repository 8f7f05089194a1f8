"""From what one worker takes, and how fast records arrive, to the number of workers and partitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

LOAD = 0.7  # of what a worker takes: the rest is for bursts, and for catching up after a restart


_UNEVEN = 1.5  # times as many records as a partition has in the mean


@dataclass(frozen=True, slots=True)
class Need:
    """How many workers and partitions a rate needs.

    `enough`: whether today's partitions will do. `uneven`: one of them has more records than a worker takes, because
    records are not spread evenly; more partitions help only if that changes.
    """

    workers: int
    partitions: int
    enough: bool
    uneven: bool


def need(rate: float, *, takes: float, partitions: int, share: float) -> Need:
    """What `rate` needs, in records a second, where a worker `takes` so many.

    A partition is read by one worker, and a group gives each worker about as many as any other: with 6 partitions, the
    busiest of 4 workers has 2. `share` is the largest share of the records that one of today's partitions has.
    """
    most = LOAD * takes
    least = max(math.ceil(rate / most), 1)
    if least <= partitions and share * rate <= most:
        return Need(_workers(rate, most, partitions, least), least, enough=True, uneven=False)
    if share * partitions > _UNEVEN and share * rate > most:
        return Need(least, least, enough=False, uneven=True)
    wanted = max(least, partitions + 1)
    return Need(_workers(rate, most, wanted, least), wanted, enough=False, uneven=False)


def _workers(rate: float, most: float, partitions: int, least: int) -> int:
    """The fewest of at least `least` workers of which none gets more than `most`."""
    shares = (math.ceil(partitions / workers) / partitions for workers in range(least, partitions))
    return next((least + more for more, share in enumerate(shares) if share * rate <= most), partitions)
