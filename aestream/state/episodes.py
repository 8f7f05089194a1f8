"""Episodes: anomalies of one entity that are close in time are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.state.usual import Records
from aestream.types import Flags, Matrix, Phase, Places, Vector

# So many rows without an anomaly, one after another, end an episode.
QUIET = 30

_MOST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Told:
    """What (m,) rows have to say of their episodes; where `phase` is NONE, the rest means nothing.

    `deviations` (k, d) has the k rows that are an anomaly or close an episode, which are `told`.
    """

    phase: NDArray[np.uint8]  # codes of types.Phase
    number: NDArray[np.int64]  # counts the entity's episodes from 1
    since: Vector  # when its first anomaly was
    worst: Vector  # the largest score of its anomalies so far
    told: Flags  # (m,)
    deviations: Matrix  # the squared deviations of its anomalies so far, summed by feature


class Episodes:
    """Groups anomalies into episodes.

    An anomaly opens an episode. It goes on, over rows with and without one, until QUIET rows without have passed or the
    entity's run of rows begins anew: that row closes it, unless it is an anomaly, which opens the next one.

    Args:
        features: the number of features.
    """

    def __init__(self, features: int) -> None:
        self.layout: list[Any] = [
            ("number", "i8"),  # episodes so far
            ("quiet", "i8"),  # rows since the last anomaly, or QUIET if no episode is open
            ("since", "f8"),
            ("worst", "f8"),
            ("deviations", "f4", (features,)),
        ]

    def blank(self, entities: int) -> Records:
        """Return what is remembered of entities (e,) of which no row has been seen."""
        blank = np.zeros(entities, np.dtype(self.layout))
        blank["quiet"] = QUIET
        return blank

    def step(
        self, values: Records, owner: Places, fresh: Flags, when: Vector, score: Vector, anomaly: Flags, squares: Matrix
    ) -> Told:
        """Say what rows (m,) mean for the episodes of their entities.

        `values` (e,) are the records of the batch's entities; they are updated. `owner` (m,) says which of them a row
        belongs to: ascending, and for each in order of arrival. `fresh` (m,) marks rows with which a run begins anew,
        `when` (m,) is their time, and `squares` (k, d) are the squared deviations of the k anomalies.
        """
        rows = np.arange(len(owner))
        starts = np.searchsorted(owner, owner)
        last_anomaly, last_fresh = _latest(anomaly, starts), _latest(fresh, starts)
        former = values["quiet"][owner]
        quiet = np.where(last_anomaly < 0, former + rows - starts + 1, rows - last_anomaly)
        quiet = np.minimum(np.where(last_fresh > last_anomaly, QUIET, quiet), QUIET)
        before = np.where(rows == starts, former, np.roll(quiet, 1)) < QUIET
        opens = anomaly & (fresh | ~before)
        phase = np.select(
            [opens, before & (quiet < QUIET), before], [Phase.OPENED, Phase.ONGOING, Phase.CLOSED], Phase.NONE
        ).astype(np.uint8)
        number = np.cumsum(opens, dtype=np.int64)
        number += (values["number"][owner] - number + opens)[starts]
        first = _latest(opens, starts)
        since = np.where(first < 0, values["since"][owner], when[first])
        worst, sums = _so_far(values, owner[anomaly], opens[anomaly], score[anomaly], squares)
        place = np.where(last_anomaly < 0, -1, (np.cumsum(anomaly) - 1)[last_anomaly])
        worst = _either(place, worst, values["worst"][owner])
        told = anomaly | (phase == Phase.CLOSED)
        judged = Told(phase, number, since, worst, told, _either(place[told], sums, values["deviations"][owner[told]]))
        last = np.flatnonzero(np.append(owner[1:] != owner[:-1], True)[: len(owner)])
        who = owner[last]
        values["number"][who], values["quiet"][who] = number[last], quiet[last]
        values["since"][who], values["worst"][who] = since[last], worst[last]
        values["deviations"][who] = _either(place[last], sums, values["deviations"][who])
        return judged


def _latest(marks: Flags, starts: Places) -> Places:
    """The last marked row up to each row (m,), -1 if there is none from the row's start."""
    latest = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), -1))
    return np.where(latest < starts, -1, latest)


def _so_far(values: Records, owner: Places, opens: Flags, score: Vector, squares: Matrix) -> tuple[Vector, Matrix]:
    """Each anomaly's largest score and summed squares of its episode so far, (k,) and (k, d)."""
    begins = np.append(True, owner[1:] != owner[:-1])[: len(owner)]
    worst, sums = score.copy(), squares.astype(np.float64)
    open_before = np.flatnonzero(begins & ~opens)
    worst[open_before] = np.maximum(worst[open_before], values["worst"][owner[open_before]])
    sums[open_before] += values["deviations"][owner[open_before]]
    rows = np.arange(len(owner))
    behind = rows - np.maximum.accumulate(np.where(begins | opens, rows, 0))
    step = 1
    while step <= behind.max(initial=0):  # each has what belongs to `step` rows, and then to twice as many
        later = np.flatnonzero(behind >= step)
        worst[later] = np.maximum(worst[later], worst[later - step])
        sums[later] += sums[later - step]
        step *= 2
    return worst, np.minimum(sums, _MOST)


def _either(place: Places, own: NDArray[np.float64], former: NDArray[Any]) -> NDArray[np.float64]:
    """What belongs to the anomaly of the batch at `place`, or, where that is -1, what was remembered."""
    result: NDArray[np.float64] = former.astype(np.float64)
    result[place >= 0] = own[place[place >= 0]]
    return result
