"""Thresholds that follow each entity, for batches that hold many entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.state.alarm_rounds import judge_round, levels
from aestream.state.alarm_rule import DUE, LAYOUT, NAMES, QUIET, Follower, Steps
from aestream.state.usual import USUAL, Records
from aestream.types import Places, Vector

# So many entities are judged as fast one after another as at once.
FEW = 40


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of (m,) rows: a row is an anomaly if its log error exceeds the threshold."""

    threshold: Vector  # log error, as it was before the row
    level: NDArray[np.uint8]  # codes of types.Level
    since: NDArray[np.int64]  # how many rows ago the level moved; 0 if it has not


class Alarms:
    """Keeps the achieved rate of false alarms near the requested one, entity by entity.

    Args:
        rate: the requested share of normal rows that are flagged.
        adaptation: `off` keeps the thresholds from training. `bounded` lets frequent alarms raise a threshold by a
            little, and a level that stays by as much as it takes. `held` holds the rate whatever happens: a bad day
            silences the alarms.
    """

    layout: list[Any] = LAYOUT

    def __init__(self, rate: float, adaptation: str = "bounded") -> None:
        self._steps = Steps.of(rate, adaptation)

    def blank(self, usual: Records) -> Records:
        """Return what is remembered of entities (e,) of which no row has been seen."""
        blank = np.zeros(len(usual), np.dtype(LAYOUT))
        for name in ("bulk", "middle", "margin", "distance"):
            blank[name] = usual[name]
        blank["hot"] = blank["alarms"] = DUE
        blank["former_bulk"] = blank["former_threshold"] = np.nan
        blank["quiet"] = QUIET
        return blank

    def relative(self, values: Records, usual: Records) -> Records:
        """What is remembered of entities (e,) whose usual errors are `usual`, in terms that any model understands.

        Where a threshold stands among the errors of an entity by one model, it stands among those by another: so many
        spreads above the median.
        """
        found = values.copy()
        for name in ("bulk", "middle", "former_bulk", "former_threshold"):
            found[name] = (values[name] - usual["middle"]) / usual["spread"]
        found["last"] = ((values["last"].T - usual["middle"]) / usual["spread"]).T
        found["margin"] /= usual["spread"]
        known = usual["distance"] > 0  # 0 at a rate that does without: then nothing would ever change it
        found["distance"] = np.divide(values["distance"], usual["distance"], out=np.ones(len(values)), where=known)
        return found

    def absolute(self, values: Records, usual: Records) -> Records:
        """What `relative` was given, by the model of which the usual errors are `usual`."""
        found = values.copy()
        for name in ("bulk", "middle", "former_bulk", "former_threshold"):
            found[name] = usual["middle"] + usual["spread"] * values[name]
        found["last"] = (usual["middle"] + usual["spread"] * values["last"].T).T
        found["margin"] *= usual["spread"]
        found["distance"] *= usual["distance"]
        return found

    def levels(self, values: Records) -> NDArray[np.uint8]:
        """Where the errors of entities (e,) lie: codes of types.Level."""
        return levels(self._steps, {name: values[name] for name in NAMES})

    def step(self, values: Records, usual: Records, owner: Places, logs: Vector) -> Judged:
        """Judge rows with these log errors (m,), and learn from them.

        `values` and `usual` (e,) are the records of the batch's entities, with the fields of `layout` and of USUAL;
        `values` is updated. `owner` (m,) says which of them a row belongs to: ascending, and for each in order of
        arrival.
        """
        judged = Judged(np.empty(len(logs)), np.empty(len(logs), np.uint8), np.empty(len(logs), np.int64))
        counts = np.bincount(owner, minlength=len(values))
        starts = np.cumsum(counts) - counts
        longest = np.argsort(-counts, kind="stable")
        counts, starts = counts[longest], starts[longest]
        state = {name: values[name][longest] for name in NAMES}
        known = {name: usual[name][longest] for name in USUAL.names or ()}
        rounds = int(counts[FEW - 1]) if len(counts) >= FEW else 0
        for number, left in enumerate(np.searchsorted(-counts, -np.arange(rounds)).tolist()):
            now, then = ({name: column[:left] for name, column in of.items()} for of in (state, known))
            rows = starts[:left] + number
            judged.threshold[rows] = judge_round(self._steps, then, now, logs[rows])
            judged.level[rows], judged.since[rows] = levels(self._steps, now), now["since"]
        for entity in range(np.count_nonzero(counts > rounds)):
            one, own = ({name: column[entity].tolist() for name, column in of.items()} for of in (state, known))
            follower = Follower(**one, steps=self._steps, usual=own)
            span = slice(starts[entity] + rounds, starts[entity] + counts[entity])
            told = [(follower.judge(log), follower.level, follower.since) for log in logs[span].tolist()]
            judged.threshold[span], judged.level[span], judged.since[span] = zip(*told, strict=True)
            for name, column in state.items():
                column[entity] = getattr(follower, name)
        for name, column in state.items():
            values[name][longest] = column
        return judged
