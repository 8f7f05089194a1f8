"""The time of day, the weekday and public holidays as inputs of a network."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.errors import ConfigurationError
from aestream.types import Arrays, Matrix, Vector

DAY, WEEK = 86_400.0, 604_800.0
# The first Monday after the epoch, which was a Thursday: weeks are counted from it.
MONDAY = 4 * DAY
# A cycle is learnt only from a sample that shows it this many times.
SHOWN = 2
# Times beyond the calendar have no holidays.
_FIRST, _LAST = datetime.date.min.toordinal(), datetime.date.max.toordinal()
_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Clock:
    """Which inputs a record's time gives: the `day`, the `week`, and the public `holidays` of a country such as `DE`.

    A country with a subdivision is `US-CA`. All are in UTC. Without any, there are no inputs.
    """

    day: bool = False
    week: bool = False
    holidays: str = ""

    def __len__(self) -> int:
        """Return the number of inputs, c."""
        return 2 * (self.day + self.week) + bool(self.holidays)

    def inputs(self, times: Vector) -> Matrix:
        """Turn times (n,) in seconds since 1970 into (n, c): two of the day, two of the week, and 1 on a holiday.

        All are 0 where a time is unknown (NaN). Raises ConfigurationError for holidays that are not to be had.
        """
        parts = [circles(times, np.array([self.day, self.week], float))]
        if self.holidays:
            parts.append(is_holiday(times, self.holidays)[:, None])
        return np.nan_to_num(np.hstack(parts))

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        country = np.frombuffer(self.holidays.encode(), np.uint8)
        return {"cycles": np.array([self.day, self.week], float), "holidays": country}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Read what `arrays` returned. Raises KeyError or ValueError for anything else."""
        day, week = arrays["cycles"].astype(bool).tolist()
        return cls(day, week, arrays["holidays"].astype(np.uint8).tobytes().decode())


def circles(seconds: Vector, cycles: Vector) -> Matrix:
    """Sine and cosine of the day and of the week, where these are inputs: (n,) -> (n, 0, 2 or 4)."""
    used = [length for length, is_used in zip((DAY, WEEK), cycles, strict=True) if is_used]
    angles = [2 * np.pi * ((seconds - MONDAY) % length) / length for length in used]
    parts = [part(angle) for angle in angles for part in (np.sin, np.cos)]
    return np.stack(parts, axis=1) if parts else np.empty((len(seconds), 0))


def is_holiday(times: Vector, country: str) -> Vector:
    """Return 1 where a time (n,) is on a public holiday, else 0. Raises ConfigurationError (see `calendar`)."""
    known = calendar(country)
    number = np.where(np.isfinite(times), times // DAY + _EPOCH, _FIRST)
    days, places = np.unique(np.clip(number, _FIRST, _LAST).astype(np.int64), return_inverse=True)
    on = [float(known(datetime.date.fromordinal(day))) for day in days.tolist()]
    return np.array(on)[places]


@functools.cache
def calendar(country: str) -> Callable[[datetime.date], bool]:
    """Whether a date is a public holiday in a country (`DE`) or a part of it (`US-CA`).

    Raises ConfigurationError when the library `holidays` is not installed, or does not know the country.
    """
    try:
        import holidays  # noqa: PLC0415 - an extra that few need
    except ImportError as error:
        raise ConfigurationError(
            f"holidays is {country!r}, and the library for it is missing: install the extra `holidays`"
        ) from error
    name, _, part = country.partition("-")
    try:
        known = holidays.country_holidays(name, subdiv=part or None)
    except NotImplementedError as error:
        raise ConfigurationError(f"holidays is {country!r}: {error}; write DE or US-CA, for example") from error
    return known.__contains__  # type: ignore[no-any-return]
