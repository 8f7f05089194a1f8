"""Counters that are used by their rate: the increase per second within each entity."""

from __future__ import annotations

import re

import numpy as np

from aestream.inference.movement import MAX_BACK, MIN_RISES, Motion, Move
from aestream.inference.order import Order, Series
from aestream.types import Vector

# What is said of a counter where rates can be computed.
RATE = "a counter: used by its increase per second"
# What rises in all but this share of the entities of an array is a counter.
NEARLY_EVERY = 0.95
# What rises by fractions counts something that goes on, such as seconds of CPU: so often in some entity. If not, it may
# be a version or a setting.
MIN_PARTS = 10
# OpenMetrics ends the name of every counter so. The name decides where the values do not: those that never moved.
_COUNTER_NAME = re.compile(r"(^|[._\-\s])total$", re.IGNORECASE)


def has_rate(values: Vector, order: Order, move: Move, name: str = "") -> bool:
    """Whether values (n,) that move so in `order` are a counter that has a rate: from 0 up, and not of its own records.

    What is 1 more in each record numbers them: its rate would be that of the records. What rises a few times only, by
    fractions, may be a version.
    """
    if not np.fmin.reduce(values) >= 0:
        return False
    series = Series.of(values, order)
    steps = np.delete(series.steps(), series.starts[1:] - 1)
    if move.motion is Motion.LEVEL and _COUNTER_NAME.search(name):
        return not np.any(steps < 0)
    if move.motion is not Motion.COUNTER or move.several or np.all(steps == 1):
        return False
    return bool(np.all(steps == np.floor(steps)) or _ways(series)[0].max() >= MIN_PARTS)


def rises_in_all(values: Vector, order: Order) -> bool:
    """Whether values (n,) rise, apart from restarts, in nearly every entity of `order`."""
    rises, falls = _ways(Series.of(values, order))
    moving = rises + falls >= MIN_RISES
    return not moving.any() or bool(np.mean((falls <= MAX_BACK * (rises + falls))[moving]) >= NEARLY_EVERY)


def _ways(series: Series) -> tuple[Vector, Vector]:
    """How often each of k entities rises and falls, (k,) each."""
    steps = np.append(series.steps(), 0.0)
    rises, falls = (np.add.reduceat(way, series.starts) for way in (1.0 * (steps > 0), 1.0 * (steps < 0)))
    return rises, falls
