"""Numbers that are times: seconds, ms, us or ns since 1970."""

import numpy as np

from aestream.features.clock import DAY
from aestream.features.series import EPOCH_RANGE
from aestream.inference.order import BLOCKS, Series
from aestream.types import Vector

SCALES = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
# A clock advances so many seconds per second, and strays from that by this share of the sample's span.
PACE, STRAYS = (0.8, 1.25), 0.5
# Times this near to the records' own are times, whatever their order. A gauge would have to keep to 0.04 % for that.
NEARBY = 7 * DAY
# Times of the past reach up to the records' own: the nearest is within this share of their spread.
NEAREST = 0.05
# Times at which something once happened are few: this share of the values. Sizes in bytes are multiples of BLOCK_SIZE.
FEW, BLOCK_SIZE = 0.05, 512
NEARLY_ALL = 0.99
# Times in no order are not after 2040.
LATEST = 2.2e9
# Values that only rise are a clock if they move by at most this share of the time since 1970, which is under 3 years.
MAX_RISE = 0.05


def epoch_unit(values: Vector) -> str | None:
    """The unit in which all values (n,) are times between 2001 and 2100; None if there is none."""
    low, high = float(values.min()), float(values.max())
    for unit, scale in SCALES.items():
        if EPOCH_RANGE[0] * scale <= low and high <= EPOCH_RANGE[1] * scale:
            return unit
    return None


def moves_with_time(series: Series, unit: str) -> bool:
    """Whether values in the range of a `unit` are times, by the records' own times; False where these are unknown."""
    if series.time is None:
        return False
    timed = np.isfinite(series.time)
    seconds, time = series.values[timed] / SCALES[unit], series.time[timed]
    if not len(time):
        return False
    ahead = seconds - time
    if np.quantile(np.abs(ahead), 0.99) < NEARBY:
        return True
    pace = _pace(seconds, time)
    if PACE[0] <= pace <= PACE[1]:
        low, high = np.quantile(seconds - pace * time, (0.1, 0.9))
        if high - low < STRAYS * np.ptp(time):
            return True
    if np.mean(ahead > 1) > 1 - NEARLY_ALL:
        return False
    low, high = np.quantile(seconds, (0.05, 0.95))
    few = len(np.unique(seconds)) <= FEW * len(seconds) and np.mean(series.values % BLOCK_SIZE == 0) < NEARLY_ALL
    return bool(few or -np.quantile(ahead, NEARLY_ALL) < NEAREST * (high - low))


def is_recent(series: Series, unit: str) -> bool:
    """Whether values that only move one way can be a clock: over a few years, and not after the records' own times."""
    seconds = series.values / SCALES[unit]
    if np.ptp(seconds) > MAX_RISE * float(seconds.max()):
        return False
    return series.time is None or float(np.nanmedian(seconds - series.time)) < DAY


def may_be_past(series: Series, unit: str) -> bool:
    """Whether values in no order look like times, where the records' own times are unknown: whole, not after 2040."""
    values = series.values
    if series.time is not None or values.max() > LATEST * SCALES[unit]:
        return False
    return bool(np.all(values == np.floor(values)) and np.mean(values % BLOCK_SIZE == 0) < NEARLY_ALL)


def _pace(seconds: Vector, time: Vector) -> float:
    """How many seconds the values advance per second of the records' time: a line through the medians of tenths."""
    rows = np.argsort(time, kind="stable")
    medians = [(np.median(time[part]), np.median(seconds[part])) for part in np.array_split(rows, BLOCKS)]
    x, y = np.array(medians).T
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x)) if np.any(x) else 0.0
