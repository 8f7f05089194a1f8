"""Whether what is normal depends on the time of day and the weekday: `clock="auto"`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aestream.features.clock import DAY, SHOWN, WEEK, Clock, is_holiday
from aestream.inference import ranks
from aestream.inference.judgement import percent
from aestream.inference.order import Order
from aestream.types import Matrix, Places, Vector

# The clock earns its place where it explains this share of the variance in stretches of time that were held out; the
# week, where it explains this much more than the day alone. Random walks come to 0 or less.
EARNS, ADDS = 0.25, 0.02
# So many stretches are held out in turn.
STRETCHES = 3
# What is looked at, at most.
MAX_RECORDS, MAX_FEATURES = 20_000, 60


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The `clock` to use, and why."""

    clock: Clock
    why: str


def choose_clock(
    matrix: Matrix, entity: Places, times: Vector | None, choice: str = "auto", holidays: str | None = None
) -> Rhythm:
    """Choose the clock's inputs, from (n, d) records, NaN where a value is missing, their entities (n,) and times (n,).

    `times` are in seconds since 1970, NaN where unknown. A cycle is offered only if the sample covers it SHOWN times.
    `choice`: `on` uses what is offered, `off` nothing, and `auto` what tells something: a line through the clock's
    inputs, fitted to the ranks of the values within their entity, is tried on stretches of time that it has not seen.
    `holidays` are used as asked, if the sample holds SHOWN of them.

    Raises ConfigurationError for holidays that are not to be had.
    """
    if times is None or Order.of(times=times).time is None:
        return Rhythm(Clock(), "the times of the records are unknown")
    known = np.flatnonzero(np.isfinite(times))
    country = holidays if holidays and _holidays(times[known], holidays) >= SHOWN else ""
    known = known[:: len(known) // MAX_RECORDS + 1]
    seconds = times[known]
    span = float(np.ptp(seconds))
    day, week = (span >= SHOWN * length for length in (DAY, WEEK))
    without = Clock(holidays=country)
    if choice == "off":
        return Rhythm(without, "switched off")
    if not day:
        return Rhythm(without, f"the sample covers {_floored(span / DAY)} days: a cycle is learnt from {SHOWN}")
    if choice == "on":
        return Rhythm(Clock(day, week, country), "switched on")
    scores = ranks.within(_few(matrix[known]), entity[known])
    of_day = _explained(scores, entity[known], seconds, Clock(day=True))
    of_week = _explained(scores, entity[known], seconds, Clock(day=True, week=True)) if week else 0.0
    more = of_week > of_day + ADDS
    share = of_week if more else of_day
    cycle = "the time of day and the weekday explain" if more else "the time of day explains"
    told = f"{cycle} {percent(max(share, 0.0), 1)} of the variance"
    if share < EARNS:
        return Rhythm(without, f"{told}: too little")
    return Rhythm(Clock(day, more, country), told)


def _floored(days: float) -> str:
    """Days with two decimals, rounded down: what is just below two is not "2"."""
    return f"{math.floor(100 * days) / 100:.2f}"


def _holidays(times: Vector, country: str) -> int:
    """How many public holidays the times (n,) fall on."""
    return len(np.unique((times // DAY)[is_holiday(times, country) > 0]))


def _few(matrix: Matrix) -> Matrix:
    return matrix[:, :: -(-matrix.shape[1] // MAX_FEATURES)]


def _explained(scores: Matrix, entity: Places, times: Vector, clock: Clock) -> float:
    """The share of the variance of (n, d) values that a clock explains where it was not fitted, the mean of features.

    What an entity's mean explains, in the stretch of time at hand, does not count. Below 0, it does harm.
    """
    part = (times - times.min()) / max(float(np.ptp(times)), 1e-9) * STRETCHES
    stretch = np.minimum(part.astype(np.intp), STRETCHES - 1)
    inputs = clock.inputs(times)
    left, all_of_it = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for held_out in range(STRETCHES):
        seen, held = stretch != held_out, stretch == held_out
        if not (seen.any() and held.any()):
            continue
        line = np.linalg.lstsq(
            _without_means(inputs[seen], entity[seen]), _without_means(scores[seen], entity[seen]), rcond=None
        )[0]
        truth = _without_means(scores[held], entity[held])
        all_of_it += np.square(truth).sum(axis=0)
        left += np.square(truth - _without_means(inputs[held], entity[held]) @ line).sum(axis=0)
    moves = all_of_it > 0
    return float(np.mean(1 - left[moves] / all_of_it[moves])) if moves.any() else 0.0


def _without_means(values: Matrix, entity: Places) -> Matrix:
    """Values (n, d) less the mean of their entity."""
    codes = np.unique(entity, return_inverse=True)[1]
    count = np.bincount(codes)
    means = np.column_stack([np.bincount(codes, column) / count for column in values.T])
    return values - means[codes]
