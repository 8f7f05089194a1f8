"""The order of a batch: which rows of an entity follow each other, which come too late, where a run begins anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aestream.types import Flags, Places, Vector

NEVER = -np.inf  # the time of an entity of which no time is known yet


class Arrivals(NamedTuple):
    """The n rows of a batch, sorted by entity, those of one entity in order of arrival.

    A row is late if its time lies before the latest time of its entity. Equal times are in order of arrival. A row
    without a time arrives right after its entity's row before it.
    """

    rows: Places  # (n,) where each row stands in the batch
    who: Places  # (n,) its entity
    heads: Flags  # (n,) whether it is the first of its entity in this batch
    times: Vector  # (n,) its time in seconds; where it is not known, the latest one of its entity
    before: Vector  # (n,) the latest time of its entity before it
    latest: Vector  # (n,) the same with this row
    late: Flags  # (n,)
    known: Flags  # (n,) whether its time is known
    steps: Places  # (n,) how many rows that are not late stand before it

    def runs(self, count: NDArray[np.int64], longest: Vector) -> tuple[Flags, Places]:
        """Where a run of rows begins anew, and how many rows of its run stand before each row: (n,) each.

        `count` (e,) is how many rows each entity's run has so far, and `longest` (e,) its longest interval, in
        seconds, that is no gap.
        """
        rows = np.where(self.heads, count[self.who], 0)
        before = np.where(self.before > NEVER, self.before, np.inf)
        fresh = (self.heads & (rows == 0)) | (self.latest > before + longest[self.who])
        rows[fresh] = 0
        marks = np.flatnonzero(self.heads | fresh)
        lengths = np.diff(marks, append=len(rows))
        return fresh, self.steps + np.repeat(rows[marks] - self.steps[marks], lengths)


def arrive(owner: Places, times: Vector | None, last: Vector) -> Arrivals:
    """Sort a batch: `owner` (n,) is the entity of each row, `last` (e,) the latest time of each entity.

    `times` (n,) are seconds; what is not finite is not known. Without times each row is one second after the one
    before it.
    """
    rows = np.argsort(owner.astype(np.uint16) if len(last) <= 1 << 16 else owner, kind="stable")
    who = owner[rows]
    heads = np.ones(len(rows), dtype=np.bool_)
    heads[1:] = who[1:] != who[:-1]
    first = np.flatnonzero(heads)
    earlier = last[who[first]]
    if times is None:
        start = np.where(earlier > NEVER, np.floor(earlier), -1.0) + 1.0 - first
        own = latest = np.arange(len(rows), dtype=np.float64) + np.repeat(start, np.diff(first, append=len(rows)))
    else:
        own = times[rows]
        own[~np.isfinite(own)] = NEVER
        latest = running_max(np.where(heads, np.maximum(own, last[who]), own), heads)
    before = np.empty_like(latest)
    before[1:] = latest[:-1]
    before[first] = earlier
    known = own > NEVER
    late = (own < before) & known
    steps = np.arange(len(rows))
    if late.any():
        steps -= np.cumsum(late) - late
    return Arrivals(rows, who, heads, np.where(late, own, latest), before, latest, late, known, steps)


class Lines:
    """What is remembered of each entity, then its rows of a batch that are not late: one line, entity by entity.

    `front` values are remembered of each of the e entities. A late row has a place on the line too: the one after the
    row before it.
    """

    def __init__(self, arrivals: Arrivals, entities: int, front: int) -> None:
        self._rows = slice(None) if not arrivals.late.any() else ~arrivals.late
        sizes = np.bincount(arrivals.who[self._rows], minlength=entities) + front
        self.at = arrivals.steps + front * (arrivals.who + 1)  # (n,)
        self.ends = np.cumsum(sizes)  # (e,) one past the last
        self.starts = self.ends - sizes  # (e,)
        self.present = self.at[self._rows]  # (m,) of the rows that are not late
        self._fronts = (self.starts[:, None] + np.arange(front)).ravel()

    def join(self, remembered: NDArray[Any], present: NDArray[Any]) -> NDArray[Any]:
        """One line of `remembered` (..., e, front) and `present` (..., n)."""
        present = present[..., self._rows]
        joined = np.empty((*present.shape[:-1], present.shape[-1] + len(self._fronts)), dtype=present.dtype)
        joined[..., self._fronts] = remembered.reshape(*present.shape[:-1], -1)
        joined[..., self.present] = present
        return joined


def running_max(values: Vector, heads: Flags) -> Vector:
    """The largest value so far, (n,), from each head to the next; the first row must be one."""
    if np.all((values[1:] >= values[:-1]) | heads[1:]):
        return values
    ranked = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.intp)
    ranks[ranked] = np.arange(len(values))
    ahead = (np.cumsum(heads) - 1) * len(values)  # later stretches rank above all earlier ones
    largest: Vector = values[ranked[np.maximum.accumulate(ranks + ahead) - ahead]]
    return largest
