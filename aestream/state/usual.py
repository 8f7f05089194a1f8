"""What is usual of an entity's errors: the quantiles from which its alarms start, learnt in training."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aestream.types import Matrix, Places, Vector

Records: TypeAlias = NDArray[np.void]  # (e,): one record of named fields per entity

# Rarer rates than this are not steered by the rows above a threshold, which are too few to count, but by a distance
# beyond the threshold of this rate.
LEAST_RATE = 0.01
# The share of rows that are the bulk, below which no alarm can be; less where more than half of the others are to be.
BULK = 0.9
# The rows that a threshold from training must leave above it, so that it is more than chance.
LEAST_ABOVE = 10
# The spread is at least so much of the log error: an entity that never varied would be flagged for nothing.
LEAST_SPREAD = 0.05
# The margin between bulk and threshold is at least this share of the spread.
LEAST_MARGIN = 0.3
# The margin moves in steps of so many scales of the tail, by which the rate there falls or rises alike everywhere. A
# tail that training hardly shows is taken for so wide a share of the spread; none is wider than the spread.
STEP, LEAST_STEP = 2.5, 0.5
# The distance for a rate of less than LEAST_RATE is this share of what an exponential tail has: it is steered from
# there, and to start too low costs a few alarms where to start too high costs incidents.
SHARE_BEYOND = 0.5
# An entity with so many rows in training is described half by its own quantiles and half by those of all.
HALF_OWN = 200

USUAL = np.dtype(
    [
        ("middle", "f8"),  # the median log error
        ("bulk", "f8"),  # the log error below which most rows stay
        ("spread", "f8"),  # from the median to the hundredth of rows with the largest errors
        ("step", "f8"),  # the unit in which the margin moves
        ("threshold", "f8"),  # the log error that is exceeded at LEAST_RATE, or at the rate if that is higher
        ("margin", "f8"),  # from the bulk to the threshold
        ("distance", "f8"),  # from there to the threshold of a rate of less than LEAST_RATE
    ],
)


def learn_usual(logs: Vector, rate: float, owner: Places | None = None, entities: int = 0) -> Records:
    """Learn from (n,) log errors of training rows what is usual: (entities + 1,), the first for all of them together.

    `owner` (n,) is the number of the entity that a row belongs to, from 1. The fewer rows an entity has, the closer it
    stays to what is usual of all.
    """
    counts = np.bincount(np.zeros(len(logs), np.intp) if owner is None else owner, minlength=entities + 1)
    ordered = logs if owner is None else logs[np.lexsort((logs, owner))]
    everything = _quantiles(np.sort(logs), np.array([0]), np.array([len(logs)]), rate)
    own = _quantiles(ordered, np.cumsum(counts) - counts, counts, rate)
    if owner is not None:
        # The fewer rows, the larger the share above an entity's own threshold. How far that is from the share that is
        # meant tell the rows of all, each from the middle of its entity.
        apart, meant = logs - own[0][owner], _share(len(logs), rate)
        own[3] += np.quantile(apart, 1 - meant) - np.quantile(apart, 1 - np.maximum(_share(counts, rate), meant))
    trust = counts / (counts + HALF_OWN)
    trust[0] = 0.0
    middle, bulk, high, threshold, scale = everything + trust * (own - everything)
    usual = np.empty(entities + 1, USUAL)
    usual["middle"], usual["bulk"], usual["threshold"] = middle, bulk, threshold
    usual["spread"] = np.maximum(high - middle, LEAST_SPREAD)
    usual["step"] = np.clip(STEP * scale, LEAST_STEP * usual["spread"], usual["spread"])
    usual["margin"] = np.maximum(threshold - bulk, LEAST_MARGIN * usual["spread"])
    usual["distance"] = SHARE_BEYOND * scale * max(0.0, math.log(LEAST_RATE / rate))
    return usual


def _quantiles(ordered: Vector, starts: Places, counts: Places, rate: float) -> Matrix:
    """Median, bulk, hundredth, threshold, and the scale of the tail above it, of each entity's log errors: (5, e).

    Each has `counts` (e,) of them from `starts` in `ordered` (n,), ascending. What one without any gets is arbitrary.
    """
    last = np.maximum(counts - 1, 0)

    def at(place: Vector) -> Vector:
        low = np.floor(place).astype(np.intp)
        first, second = (
            ordered[np.minimum(starts + step, len(ordered) - 1)] for step in (low, np.minimum(low + 1, last))
        )
        return first + (place - low) * (second - first)

    most = _bulk(rate)
    place = (1 - _share(counts, rate)) * last
    threshold = at(place)
    above = at((np.floor(place) + 1 + last) / 2) - threshold
    return np.array([at(0.5 * last), at(most * last), at((1 - LEAST_RATE) * last), threshold, above / math.log(2)])


def _bulk(rate: float) -> float:
    """The share of rows that are the bulk."""
    return min(BULK, 1 - 2 * rate)


def _share(counts: Places | int, rate: float) -> Vector:
    """The share of an entity's training rows that its threshold leaves above it, by how many it has (e,)."""
    share: Vector = np.clip(LEAST_ABOVE / np.maximum(counts, 1), max(rate, LEAST_RATE), 1 - _bulk(rate))
    return share
