"""How often the records of an entity come, and after how long a gap those before say little about the next."""

from __future__ import annotations

import numpy as np

from aestream.inference.order import Order
from aestream.types import Vector

# A gap is at least so many usual intervals, and at least so many times what all but this share of the intervals reach:
# what happens more often than every hundredth record is no gap.
LEAST, TIMES, REGULAR = 10.0, 2.0, 0.99
# An entity with fewer intervals than this does not say what is usual.
MIN_INTERVALS = 10


def longest_intervals(order: Order, max_gap: float | None = None) -> Vector:
    """Learn from the entities and times of a sample the longest interval, in seconds, that is no gap.

    (e + 1,): the general one, then that of each entity by its code. It is `max_gap` of the entity's usual intervals, or
    where that is None, of as many as the sample shows. The general one is that of the slowest, so that no window begins
    anew too often. It is also for an entity with too few intervals, and for one whose own would make a gap of what is
    regular in it. All are infinite where times are unknown, or no entity has two of them.

    Records of one time are one event: they do not count. Retries and jitter make no interval long, and a few long ones
    do not make it usual, as the median and the 99th percentile do not see them.
    """
    entity = order.entity
    if entity is None:
        entity = np.zeros(1 if order.time is None else len(order.time), np.intp)
    longest = np.full(entity[-1] + 2, np.inf)
    if order.time is None:
        return longest
    steps, whose = np.diff(order.time), entity[1:]
    real = (steps > 0) & (whose == entity[:-1])
    steps, whose = steps[real], whose[real]
    if not len(steps):
        return longest
    rows = np.lexsort((steps, whose))
    steps, whose = steps[rows], whose[rows]
    start = np.flatnonzero(np.diff(whose, prepend=-1))
    count = np.diff(start, append=len(steps))
    usual, own = steps[start + count // 2], count >= MIN_INTERVALS
    if max_gap is None:
        regular = float(np.quantile(steps / np.repeat(usual, count), REGULAR))
        max_gap = max(LEAST, TIMES * regular)
        own &= steps[start + (REGULAR * (count - 1)).astype(np.intp)] <= max_gap * usual
    longest[:] = max_gap * usual[count >= min(MIN_INTERVALS, count.max())].max()
    longest[1 + whose[start[own]]] = max_gap * usual[own]
    return longest
