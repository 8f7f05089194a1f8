"""Counters as increase per second: from which reading, over which time, and what a reset means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.state.arrivals import NEVER, Arrivals, Lines, running_max
from aestream.types import Flags, Matrix, Vector

KEPT = 2  # readings that are remembered of a counter: one of an earlier time, and the latest
LARGEST = np.finfo(np.float64).max


class Counters:
    """Readings of c counters become rates.

    A rate is the increase since the entity's latest reading of an earlier time, per second. A counter that has become
    smaller was reset: as in Prometheus it has increased by what it shows now. What it counted before the reset is
    not known, so the rate is at least the one before: a restart is no dip.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    @property
    def layout(self) -> list[tuple[Any, ...]]:
        """What is remembered of an entity: readings and their times, the latest last, and the latest rates."""
        shape = (self.count, KEPT)
        return [("readings", "<f8", shape), ("times", "<f8", shape), ("rates", "<f8", (self.count,))]

    @property
    def blank(self) -> tuple[Any, ...]:
        """What is remembered before an entity's first reading."""
        return (np.full((self.count, KEPT), np.nan), np.full((self.count, KEPT), NEVER), np.full(self.count, np.nan))

    def follow(self, values: NDArray[np.void], arrivals: Arrivals, readings: Matrix) -> Matrix:
        """The rates (n, c) of `readings` (n, c), in the order of `arrivals`; NaN where a rate is not known.

        `values` (e,) is what is remembered of each entity, and is brought up to date.
        """
        # Each counter of each entity is a line: a start that is no reading, what is remembered, and what came.
        lines = Lines(arrivals, len(values), 1 + KEPT)
        observed, now = readings.T, arrivals.times
        readings = lines.join(_with_start(values["readings"], np.nan), observed)
        usable, times = self._usable(values, lines, readings, now)
        bases = np.flatnonzero(usable)
        base_times = times.ravel()[bases]
        opens = base_times == NEVER
        opens[1:] |= base_times[1:] != base_times[:-1]
        groups = np.maximum.accumulate(np.where(opens, np.arange(len(bases)), 0))
        earlier = np.where(base_times > NEVER, groups - 1, groups)  # the latest base of an earlier time
        number = (np.cumsum(usable) - 1).reshape(usable.shape)  # of the latest base so far
        places = bases % readings.shape[1]

        base = number[:, lines.at - 1]
        base = np.where(base_times[base] >= now, earlier[base], base)
        before = np.take_along_axis(readings, places[base], axis=1)
        resets = observed < before
        with np.errstate(over="ignore", invalid="ignore"):
            elapsed = now - base_times[base]
            elapsed[~(elapsed > 0)] = np.nan
            rates: Matrix = np.where(resets, np.maximum(observed, 0.0), observed - before) / elapsed
        rates = np.minimum(rates, LARGEST)
        self._remember(values["rates"], arrivals, rates, resets)

        latest = number[:, lines.ends - 1]
        kept = np.stack([earlier[latest], latest], axis=2)  # (c or 1, e, 2)
        places = places[kept].reshape(len(kept), -1)
        kept_readings = np.take_along_axis(readings, places, axis=1).reshape(self.count, -1, KEPT)
        values["readings"] = np.moveaxis(kept_readings, 0, 1)
        values["times"] = np.moveaxis(base_times[kept], 0, 1)
        return rates.T

    def _usable(
        self, values: NDArray[np.void], lines: Lines, readings: Matrix, now: Vector
    ) -> tuple[NDArray[np.bool_], Matrix]:
        """Which places of the lines are readings that rates can start from, or starts, and their times.

        For all counters at once, (1, length), where none has readings of its own; else (c, length).
        """
        times = values["times"]
        known = np.isfinite(readings)
        if known[:, lines.present].all() and np.array_equal(times, np.broadcast_to(times[:, :1], times.shape)):
            known, times = known[:1], times[:, :1]
        times = lines.join(_with_start(times, NEVER), np.broadcast_to(now, (len(known), len(now))))
        known &= times > NEVER
        known[:, lines.starts] = True
        return known, times

    def _remember(self, latest: Matrix, arrivals: Arrivals, rates: Matrix, resets: Flags) -> None:
        """Bring the `latest` rates (e, c) up to date. No rate (c, n) of a reset stays below the one before."""
        known = np.isfinite(rates) & ~arrivals.late
        if resets.any():
            counters, rows = np.nonzero(known)
            who, low = arrivals.who[rows], resets[counters, rows]
            heads = np.ones(len(rows), dtype=np.bool_)
            heads[1:] = (who[1:] != who[:-1]) | (counters[1:] != counters[:-1])
            found, after = rates[counters, rows], heads & low
            found[after] = np.fmax(found[after], latest[who[after], counters[after]])
            rates[counters, rows] = running_max(found, heads | ~low)
        first = np.flatnonzero(arrivals.heads)
        who = arrivals.who[first]
        last = np.maximum.reduceat(np.where(known, np.arange(len(known.T)), -1), first, axis=1)
        latest[who] = np.where(last >= 0, np.take_along_axis(rates, last, axis=1), latest[who].T).T


def _with_start(remembered: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """What is remembered of the counters of each entity, (e, c, k), as (c, e, 1 + k) behind a start."""
    joined = np.empty((remembered.shape[1], len(remembered), 1 + remembered.shape[2]))
    joined[:, :, 0] = start
    joined[:, :, 1:] = np.moveaxis(remembered, 1, 0)
    return joined
