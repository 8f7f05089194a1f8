"""Which span of time a sample covers, and whether that is enough to know what is usual at any time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable

import numpy as np

from aestream.types import Flags, Matrix, Stamps, Vector

_MS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
_DAY = _MS["days"]
_NEARLY = 0.95  # of a day, or of two cycles: a sample of `sample_period=1d` is a little shorter than that
_TOO_MANY = 5_000_000  # records, for the memory of a machine

# A cycle is looked for in the means of so many equal spans of time. It is clear when, over what the sample holds of a
# second round, the series repeats itself (CORRELATED), moves as much as elsewhere (MOVES), and differs from the first
# round by noise that changes from bin to bin (ROUGH: the von Neumann ratio, 2 for white noise, near 0 for a random walk
# that happens to come back). Only a series without noise (EQUAL) may lack the last.
_BINS = 240
_PER_BIN = 2
_CORRELATED, _EQUAL, _MOVES, _ROUGH = 0.8, 0.998, 0.25, 0.8
_SEEN_AGAIN = 0.35  # of a round
_UNLIKE = 0.2  # the correlation must have been below this in between: a trend is no cycle
_DOMINANT, _AGREE = 0.1, 0.1  # so many of the features have this cycle, give or take so much
_FIRST = 0.95  # the shortest lag that is this near to the best one is the cycle, not two or three of them


def in_words(times: Stamps) -> str:
    """The span of sorted times in milliseconds, (n,): "3.0 hours, from 2026-11-20 10:00 to 13:00 UTC"."""
    if not len(times):
        return "an unknown span of time"
    first, last = (datetime.datetime.fromtimestamp(int(time) / 1000, datetime.UTC) for time in (times[0], times[-1]))
    same_day = first.date() == last.date()
    until = f"{last:%H:%M}" if same_day else f"{last:%Y-%m-%d %H:%M}"
    return f"{_duration(int(times[-1] - times[0]))}, from {first:%Y-%m-%d %H:%M} to {until} UTC"


def warnings(
    times: Stamps, values: Iterable[Vector], *, records: int, wanted: int, more: bool, file: bool = False
) -> list[str]:
    """What a sample's span leaves unknown, and what to set: a line for less than a day, or less than two cycles.

    `times` (n,), sorted, in milliseconds; `values` (n,) of each numeric feature, NaN where missing. `records` were read
    where `wanted` were asked for. `more`: the topic holds older ones, or the `file` later ones.
    """
    if not len(times):
        return []
    span = max(int(times[-1] - times[0]), 1)
    if span < _NEARLY * _DAY:
        days = 2
        found = "so the model does not know what is usual at other times of the day"
    else:
        cycle = dominant_cycle(times, values)
        if cycle is None or span >= 2 * _NEARLY * cycle:
            return []
        days = max(2, math.ceil(2 * _NEARLY * cycle / _DAY))
        found = f"less than two of the cycles that its values follow ({_duration(round(cycle))} each)"
    needed = _rounded_up(days * (records - 1) * _DAY / span)
    remedy = _of_file(days, needed, more=more) if file else _of_topic(days, needed, wanted, more=more)
    return [f"the sample covers {in_words(times)}, {found}. {remedy}"]


def _of_topic(days: int, needed: int, wanted: int, *, more: bool) -> str:
    if needed > _TOO_MANY:
        return (
            "If the records were loaded at once, name the field that holds their time in `time`; if not, raise "
            "`sample_records` as far as memory allows"
        )
    settings = f"set `sample_period={days}d` and `sample_records={needed}`"
    if more:
        return f"{days} days at this rate are {needed:,} records: {settings}"
    waiting = f"There are no older ones yet: let it run on for {days} days"
    return f"{waiting}, then train again" if needed <= wanted else f"{waiting}, then {settings}"


def _of_file(days: int, needed: int, *, more: bool) -> str:
    if more:
        return f"{days} days at this rate are {needed:,} records: set `sample_records={needed}`"
    return f"There are no more: train on a file that covers {days} days"


def _rounded_up(count: float) -> int:
    """The next number with two digits and zeros."""
    unit = int(10 ** max(math.floor(math.log10(max(count, 1))) - 1, 0))
    return int(math.ceil(round(count / unit, 6)) * unit)


def _duration(milliseconds: int) -> str:
    """A number of a unit of which there are at least two, or of seconds."""
    unit = next((unit for unit, size in _MS.items() if milliseconds >= 2 * size), "seconds")
    count = milliseconds / _MS[unit]
    return f"{count:.0f} {unit}" if unit in {"minutes", "seconds"} else f"{count:.1f} {unit}"


def dominant_cycle(times: Stamps, values: Iterable[Vector]) -> float | None:
    """The cycle, in milliseconds, that the clearest of the features, (n,) each, follows; None if none is clear.

    The sample must hold at least 1.35 rounds of it. `times` (n,) are sorted, in milliseconds.
    """
    bins = _binned(times, values)
    if bins is None:
        return None
    lags = np.arange(2, int(_BINS / (1 + _SEEN_AGAIN)) + 1)
    correlation, roughness, movement = np.array([_compare(bins, int(lag)) for lag in lags]).transpose(1, 0, 2)
    unlike = np.minimum.accumulate(correlation, axis=0) < _UNLIKE
    candidates = np.where(unlike, correlation, -1.0)
    best = np.array([_first_peak(column) for column in candidates.T], np.intp)
    features = np.arange(bins.shape[1])
    height = candidates[best, features]
    clear: Flags = (height >= _CORRELATED) & (movement[best, features] >= _MOVES)
    clear &= (roughness[best, features] >= _ROUGH) | (height >= _EQUAL)
    lag = lags[best[np.where(clear, height, -1.0).argmax()]]
    agree = clear & (abs(lags[best] - lag) <= _AGREE * lag)
    if not clear.any() or np.mean(agree) < _DOMINANT:
        return None
    return float(lag) * float(times[-1] - times[0]) / _BINS


def _binned(times: Stamps, values: Iterable[Vector]) -> Matrix | None:
    """Standardised ranks of the means in equal spans of time, (bins, features that vary); None if too few.

    Ranks, because two far outliers would look alike. A feature whose bins are mostly equal, or empty, shows no cycle.
    """
    if len(times) < _PER_BIN * _BINS:
        return None
    numbers = np.minimum((times - times[0]) * _BINS // max(int(times[-1] - times[0]), 1), _BINS - 1)
    ranked = []
    for column in values:
        there = np.isfinite(column)
        counts = np.bincount(numbers[there], minlength=_BINS)
        full = counts > 0
        if full.mean() < _NEARLY:
            continue
        sums = np.bincount(numbers[there], column[there], minlength=_BINS)
        means = np.interp(np.arange(_BINS), np.flatnonzero(full), sums[full] / counts[full])
        ranks, most = _ranks(means)
        if most <= _BINS // 2:
            ranked.append((ranks - ranks.mean()) / ranks.std())
    return np.column_stack(ranked) if ranked else None


def _ranks(values: Vector) -> tuple[Vector, int]:
    """Ranks, the same for equal values, and how many values are equal at most."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[places], int(counts.max())


def _compare(bins: Matrix, lag: int) -> tuple[Vector, Vector, Vector]:
    """How series, (bins, d), repeat after a lag: correlation, roughness of the difference, variance, each (d,)."""
    first, second = (part - part.mean(axis=0) for part in (bins[:-lag], bins[lag:]))
    variances = np.square(first).sum(axis=0), np.square(second).sum(axis=0)
    difference = second - first
    correlation = (first * second).sum(axis=0) / np.sqrt(np.maximum(variances[0] * variances[1], 1e-12))
    change = np.square(np.diff(difference, axis=0)).sum(axis=0)
    roughness = change / np.maximum(np.square(difference).sum(axis=0), 1e-12)
    return correlation, roughness, np.minimum(*variances) / len(first)


def _first_peak(correlation: Vector) -> int:
    """Where the first peak is that is nearly as high as the highest."""
    place = int(np.flatnonzero(correlation >= _FIRST * correlation.max())[0]) if correlation.max() > 0 else 0
    while place + 1 < len(correlation) and correlation[place + 1] > correlation[place]:
        place += 1
    return place
