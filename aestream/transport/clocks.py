"""What the timestamps of records count: milliseconds as Kafka wants them, another unit, or no time at all."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from aestream.types import Flags, Stamps

DAY_MS = 86_400_000

# Where each unit begins: in milliseconds, 10^11 is a day in 1973 and 10^14 the year 5138. What lies below seconds
# (0, -1, the uptime of a machine) tells no time.
_FROM = np.array([10**8, 10**11, 10**14, 10**17])
_TICKS = (Fraction(1, 1000), Fraction(1), Fraction(1000), Fraction(1_000_000))
_NAMES = dict(zip(_TICKS, ("seconds", "milliseconds", "microseconds", "nanoseconds"), strict=True))


def ticks(stamps: Sequence[int] | Stamps) -> Fraction | None:
    """How many of the timestamps' unit make a millisecond, by most of them; None if most of them tell no time."""
    if not len(stamps):
        return Fraction(1)
    unit = int(np.searchsorted(_FROM, np.median(np.asarray(stamps, np.int64)), side="right"))
    return _TICKS[unit - 1] if unit else None


def name(stamps: Sequence[int] | Stamps) -> str | None:
    """The name of the unit of most of the timestamps; None if most of them tell no time."""
    unit = ticks(stamps)
    return None if unit is None else _NAMES[unit]


def milliseconds(stamps: Stamps, *, now: int) -> tuple[Stamps, Flags]:
    """Convert timestamps of any unit, (n,), to milliseconds; flag those that are times up to a day after `now` (ms)."""
    units = np.searchsorted(_FROM, stamps, side="right")
    converted = np.choose(units, (stamps, stamps * (units == 1) * 1000, stamps, stamps // 1000, stamps // 1_000_000))
    return converted, (units > 0) & (converted <= now + DAY_MS)
