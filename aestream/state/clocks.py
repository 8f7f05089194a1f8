"""A clock that lied: one record years ahead must not make all later ones of its entity late for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.state.arrivals import Arrivals
from aestream.types import Places, Vector

# So many late records in a row, each further back than a gap and than so many seconds, and later than the one before
# it, tell that it was the latest time of their entity that was wrong: its clock is taken back. What was held up for
# some hours stays late.
BACK, FAR = 10, 86_400.0
# What is remembered of an entity: how many such records there are so far, and the time of the last.
LAYOUT: list[tuple[Any, ...]] = [("behind", "<i8"), ("behind_at", "<f8")]


def take_back(values: NDArray[np.void], arrivals: Arrivals, longest: Vector) -> Places:
    """Find the rows, in the order of `arrivals`, at which the clock of their entity is taken back.

    `values` (e,) has the fields of LAYOUT, and is brought up to date. `longest` (e,) is the longest interval
    of each entity, in seconds, that is no gap.

    A record on time, or late by less than a day, shows that the clock is right. One without a time says nothing, and
    one with the time of the record before it as little: it may be sent again.
    """
    gaps = np.maximum(longest, FAR)
    far = arrivals.late & (arrivals.times < arrivals.before - gaps[arrivals.who])
    concerned = values["behind"] > 0
    concerned[arrivals.who[far]] = True
    found: list[int] = []
    if not concerned.any():
        return np.empty(0, np.intp)
    rows = np.flatnonzero(concerned[arrivals.who] & arrivals.known)
    starts = np.flatnonzero(np.diff(arrivals.who[rows], prepend=-1))
    for own in np.split(rows, starts[1:]):
        if len(own):
            who = arrivals.who[own[0]]
            found += _follow(values[who : who + 1], own, arrivals, float(gaps[who]))
    return np.array(found, np.intp)


def _follow(value: NDArray[np.void], rows: Places, arrivals: Arrivals, gap: float) -> list[int]:
    """The same for the rows of one entity, all of which have a time."""
    found: list[int] = []
    behind, behind_at = int(value["behind"][0]), float(value["behind_at"][0])
    latest = float(arrivals.before[rows[0]])
    for row, time in zip(rows.tolist(), arrivals.times[rows].tolist(), strict=True):
        if time >= latest - gap:
            latest, behind = max(latest, time), 0
        elif not behind or time < behind_at:
            behind, behind_at = 1, time
        elif time > behind_at:
            behind, behind_at = behind + 1, time
        if behind == BACK:
            latest, behind = time, 0
            found.append(row)
    value["behind"], value["behind_at"] = behind, behind_at
    return found
