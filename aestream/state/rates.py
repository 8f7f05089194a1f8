"""Counters as increase per second: from which reading, over which time, and what a reset means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.state.arrivals import NEVER, Arrivals, Lines, running_max
from aestream.types import Flags, Matrix

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
        remembered = np.full((2, self.count, len(values), 1 + KEPT), np.array([np.nan, NEVER])[:, None, None, None])
        remembered[0, :, :, 1:] = np.moveaxis(values["readings"], 1, 0)
        remembered[1, :, :, 1:] = np.moveaxis(values["times"], 1, 0)
        readings, times = lines.join(remembered, np.stack([observed, np.broadcast_to(now, observed.shape)]))

        usable = np.isfinite(readings) & (times > NEVER)
        usable[:, lines.starts] = True
        bases = np.flatnonzero(usable)
        base_times = times.ravel()[bases]
        opens = base_times == NEVER
        opens[1:] |= base_times[1:] != base_times[:-1]
        groups = np.maximum.accumulate(np.where(opens, np.arange(len(bases)), 0))
        earlier = np.where(base_times > NEVER, groups - 1, groups)  # the latest base of an earlier time
        number = (np.cumsum(usable) - 1).reshape(usable.shape)  # of the latest base so far

        base = number[:, lines.at - 1]
        base = np.where(base_times[base] >= now, earlier[base], base)
        before = readings.ravel()[bases[base]]
        resets = observed < before
        with np.errstate(over="ignore", invalid="ignore"):
            elapsed = now - base_times[base]
            elapsed[~(elapsed > 0)] = np.nan
            rates: Matrix = np.where(resets, np.maximum(observed, 0.0), observed - before) / elapsed
        rates = np.minimum(rates, LARGEST)
        self._remember(values["rates"], arrivals, rates, resets)

        latest = number[:, lines.ends - 1]
        kept = bases[np.stack([earlier[latest], latest], axis=2)]
        values["readings"] = np.moveaxis(readings.ravel()[kept], 0, 1)
        values["times"] = np.moveaxis(times.ravel()[kept], 0, 1)
        return rates.T

    def _remember(self, latest: Matrix, arrivals: Arrivals, rates: Matrix, resets: Flags) -> None:
        """Bring the `latest` rates (e, c) up to date. No rate (c, n) of a reset stays below the one before."""
        counters, rows = np.nonzero(np.isfinite(rates) & ~arrivals.late)
        if not len(rows):
            return
        who, known, low = arrivals.who[rows], rates[counters, rows], resets[counters, rows]
        heads = np.ones(len(rows), dtype=np.bool_)
        heads[1:] = (who[1:] != who[:-1]) | (counters[1:] != counters[:-1])
        if low.any():
            after = heads & low
            known[after] = np.fmax(known[after], latest[who[after], counters[after]])
            known = running_max(known, heads | ~low)
            rates[counters, rows] = known
        tails = np.roll(heads, -1)
        latest[who[tails], counters[tails]] = known[tails]
