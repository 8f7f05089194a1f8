"""The figures of a backtest: in all, by entity, at other false-alarm rates, and against labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aestream.backtest import episodes
from aestream.backtest.episodes import Episode
from aestream.backtest.outcome import TOP, Outcome
from aestream.types import Flags, Places, Status

# The other false-alarm rates, as multiples of the one that was asked for, and the highest that makes sense.
FACTORS = (10.0, 3.0, 1.0, 0.3, 0.1)
HIGHEST = 0.5
LEAST = 0.1


@dataclass(frozen=True, slots=True)
class Of:
    """What was flagged of one entity. `worst` is the record with its largest score; `telling` names features."""

    entity: int
    records: int
    flagged: int
    episodes: int
    worst: int
    telling: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a false-alarm rate would have cost; None where the model cannot tell."""

    rate: float
    flagged: int | None
    episodes: int | None


@dataclass(frozen=True, slots=True)
class Against:
    """The results beside the labels.

    An incident is an entity's labelled records without another one between; `incidents` are the places (k, 2) where
    each begins and ends, and `first` (k,) has the first anomaly in each, -1 where it was missed.
    """

    incidents: Places
    first: Places
    normal: int
    flagged_normal: int
    false_episodes: int

    @property
    def found(self) -> int:
        """How many incidents were found."""
        return int((self.first >= 0).sum())


def by_entity(outcome: Outcome, found: Sequence[Episode]) -> list[Of]:
    """What was flagged of each entity: first the one with the most episodes, and of several the highest score."""
    starts = np.searchsorted(outcome.owner, np.arange(len(outcome.entities) + 1))
    count = Counter(episode.entity for episode in found)
    shares: dict[int, Counter[str]] = {}
    for place, features in outcome.top.items():
        total = shares.setdefault(int(outcome.owner[place]), Counter())
        for feature in features:
            total[feature.name] += feature.share  # type: ignore[assignment] # a count need not be whole
    judged = np.where(outcome.status == Status.SCORED, outcome.score, -1.0)
    listed = [
        Of(
            entity=entity,
            records=int(stop - start),
            flagged=int(outcome.anomaly[start:stop].sum()),
            episodes=count[entity],
            worst=int(start + np.argmax(judged[start:stop])),
            telling=_telling(shares.get(entity, Counter())),
        )
        for entity, (start, stop) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
    ]
    return sorted(listed, key=lambda of: (-of.episodes, -judged[of.worst]))


def _telling(shares: Counter[str]) -> list[str]:
    """The features with the largest of summed shares, down to a tenth of all."""
    return [name for name, share in shares.most_common(TOP) if share >= LEAST * shares.total()]


def costs(outcome: Outcome, found: Sequence[Episode]) -> list[Cost]:
    """What other false-alarm rates would have cost, by the p-values of the same scores, highest rate first.

    That holds where thresholds stay where they are. Where they follow an entity's errors, they would have moved
    otherwise at another rate.
    """
    scored = outcome.status == Status.SCORED
    lowest = float(outcome.p_value[scored].min(initial=1.0)) if outcome.sampled else 0.0
    listed = []
    for factor in FACTORS:
        rate = outcome.rate * factor
        if factor == 1:
            listed.append(Cost(rate, int(outcome.anomaly.sum()), len(found)))
        elif rate < lowest:
            listed.append(Cost(rate, None, None))
        elif rate <= HIGHEST:
            flags = scored & (outcome.p_value <= rate)
            listed.append(Cost(rate, int(flags.sum()), int(episodes.first_of_each(outcome, flags).sum())))
    return listed


def against(outcome: Outcome, found: Sequence[Episode]) -> Against | None:
    """The results beside the labels; None without labels."""
    labels = outcome.labels
    if labels is None:
        return None
    incidents = _runs(labels, outcome.owner)
    flagged = np.flatnonzero(outcome.anomaly)
    place = np.searchsorted(flagged, incidents[:, 0])
    first = np.append(flagged, len(outcome))[place]
    return Against(
        incidents=incidents,
        first=np.where(first <= incidents[:, 1], first, -1),
        normal=int((~labels).sum()),
        flagged_normal=int((outcome.anomaly & ~labels).sum()),
        false_episodes=sum(not episode.labelled for episode in found),
    )


def delay(outcome: Outcome, of: Against) -> float | None:
    """The median time from an incident's first record to its first anomaly, over those that were found.

    In seconds, or in records where times are not known.
    """
    chosen = of.first >= 0
    if not chosen.any():
        return None
    begin, first = of.incidents[chosen, 0], of.first[chosen]
    late = first - begin if outcome.times is None else outcome.times[first] - outcome.times[begin]
    return float(np.nanmedian(late)) if np.isfinite(late).any() else None


def _runs(labels: Flags, owner: Places) -> Places:
    """Where an entity's labelled records begin and end, (k, 2)."""
    joined = np.append(False, labels[1:] & labels[:-1] & (owner[1:] == owner[:-1]))
    begins = np.flatnonzero(labels & ~joined)
    ends = np.flatnonzero(labels & ~np.append(joined[1:], False))
    return np.stack([begins, ends], axis=1)
