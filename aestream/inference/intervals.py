"""How often the records of an entity come, and after how long a gap those before say little about the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aestream.inference.order import Order

# A gap is at least so many usual intervals, and at least so many times what all but this share of the intervals reach:
# what happens more often than every hundredth record is no gap.
LEAST, TIMES, REGULAR = 10.0, 2.0, 0.99
# An entity with fewer intervals than this does not say what is usual.
MIN_INTERVALS = 10


@dataclass(frozen=True, slots=True)
class Intervals:
    """The `usual` interval between an entity's records, and the longest one, in seconds, that is no gap.

    Both are for all entities: `usual` is that of the slowest, so that its windows begin anew no more often than others.
    """

    usual: float
    longest: float

    @classmethod
    def of(cls, order: Order, max_gap: float | None = None) -> Intervals | None:
        """Learn from the entities and times of a sample; `max_gap` in usual intervals, or None: by the sample.

        None where times are unknown, or no entity has two of them. Records of one time are one event: they do not
        count. Retries and jitter make no interval long, and a few long ones do not make it usual, as the median and the
        99th percentile do not see them.
        """
        time = order.time
        if time is None:
            return None
        entity = np.zeros(len(time), np.intp) if order.entity is None else order.entity
        steps, whose = np.diff(time), entity[1:]
        real = (steps > 0) & (whose == entity[:-1])
        steps, whose = steps[real], whose[real]
        if not len(steps):
            return None
        rows = np.lexsort((steps, whose))
        steps, whose = steps[rows], whose[rows]
        start = np.flatnonzero(np.diff(whose, prepend=-1))
        count = np.diff(start, append=len(steps))
        usual = steps[start + count // 2]
        often = count >= min(MIN_INTERVALS, count.max())
        if max_gap is None:
            regular = float(np.quantile(steps / np.repeat(usual, count), REGULAR))
            max_gap = max(LEAST, TIMES * regular)
        slowest = float(usual[often].max())
        return cls(slowest, max_gap * slowest)
