"""How fast records arrive, by their timestamps and by the ends of their partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from aestream.transport import clocks
from aestream.types import Partition

_MINUTE_MS = 60_000


class Of(StrEnum):
    """What a rate is of."""

    SAMPLE = "sample"
    PEAK_MINUTE = "peak_minute"
    NOW = "now"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A rate in records a second; the peak minute begins `at` milliseconds since 1970."""

    of: Of
    rate: float
    at: int | None = None


def by_timestamps(stamps: Sequence[int], *, now: int) -> Iterator[Arrival]:
    """The mean rate of records with these timestamps, and that of the minute that has most of them.

    Nothing where the timestamps tell no time; no minute where they cover less than one. `now` is in milliseconds.
    """
    times, usable = clocks.milliseconds(np.asarray(stamps, np.int64), now=now)
    times = times[usable]
    if len(times) < 2 or len(times) < len(stamps) / 2:  # noqa: PLR2004 - a rate needs two
        return
    span = int(times.max() - times.min())
    if span == 0:
        return
    yield Arrival(Of.SAMPLE, (len(times) - 1) / span * 1000)
    if span >= _MINUTE_MS:
        minutes, counts = np.unique(times // _MINUTE_MS, return_counts=True)
        most = int(counts.argmax())
        yield Arrival(Of.PEAK_MINUTE, float(counts[most]) / 60, int(minutes[most]) * _MINUTE_MS)


def by_ends(
    before: Mapping[Partition, tuple[int, int]], after: Mapping[Partition, tuple[int, int]], seconds: float
) -> Arrival:
    """The rate at which the ends of partitions have moved in so many seconds."""
    moved = sum(max(after[part][1] - end, 0) for part, (_, end) in before.items() if part in after)
    return Arrival(Of.NOW, moved / seconds)
