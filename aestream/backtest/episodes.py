"""The episodes of a stretch: anomalies of one entity that are close in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aestream.backtest.outcome import Outcome
from aestream.messages.scores import FeatureShare
from aestream.state.episodes import QUIET
from aestream.types import Flags, Places


@dataclass(frozen=True, slots=True)
class Episode:
    """The anomalies of one episode: the records at `places` (k,), ascending, and the one with the largest score.

    `labelled`: whether one of them is labelled. `features` explain the worst one.
    """

    entity: int
    places: Places
    worst: int
    labelled: bool
    features: Sequence[FeatureShare]


def found(outcome: Outcome) -> list[Episode]:
    """The episodes, entity by entity, in the order of arrival."""
    flagged = np.flatnonzero(outcome.anomaly)
    opens = first_of_each(outcome, outcome.anomaly) if outcome.opened is None else outcome.opened.copy()
    opens[flagged[np.flatnonzero(np.diff(outcome.owner[flagged], prepend=-1))]] = True
    starts = np.flatnonzero(opens[flagged])
    return [_episode(outcome, flagged[start:stop]) for start, stop in pairwise([*starts.tolist(), len(flagged)])]


def first_of_each(outcome: Outcome, anomaly: Flags) -> Flags:
    """Which anomalies begin an episode, (n,): those without another one of their entity in the QUIET records before.

    Late records do not count.
    """
    flagged = np.flatnonzero(anomaly)
    begins = np.zeros(len(anomaly), bool)
    if len(flagged):
        place, owner = np.cumsum(outcome.in_order)[flagged], outcome.owner[flagged]
        apart = (np.diff(place) > QUIET) | (np.diff(owner) != 0)
        begins[flagged] = np.append(True, apart)
    return begins


def _episode(outcome: Outcome, places: Places) -> Episode:
    worst = int(places[np.argmax(outcome.score[places])])
    return Episode(
        entity=int(outcome.owner[places[0]]),
        places=places,
        worst=worst,
        labelled=outcome.labels is not None and bool(outcome.labels[places].any()),
        features=outcome.top.get(worst, ()),
    )
