"""Entities that fell silent in the middle of an episode: it is over, though no record of theirs says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from aestream.detector.attribution import shares
from aestream.detector.series import Series
from aestream.state.entities import Entities, Values
from aestream.state.episodes import QUIET
from aestream.state.partition import PartitionState
from aestream.state.store import Store
from aestream.types import Key, Partition, Vector

_Candidates: TypeAlias = dict[tuple[int, float], tuple[Key, float]]

# After so many seconds an episode is over where the intervals of the entity do not say what a gap is.
UNKNOWN = 3600.0


@dataclass(frozen=True, slots=True)
class Silent:
    """An entity of a partition that fell silent, and its open episode.

    `since` when, its `worst` score and each feature's `share` (d,) in it; `last` is the time of the entity's last
    record, in seconds, and `seen` the same by the clock of its partition.
    """

    partition: Partition
    key: Key
    since: float
    worst: float
    share: Vector
    last: float
    seen: float


class Silence:
    """Finds the entities with an open episode that have been silent for longer than their longest usual interval.

    After such a gap their run of records would begin anew and end the episode anyway, once another record comes. The
    longest interval is that of `series`, UNKNOWN if it is not known, and never more than the time to live. Time goes by
    the clock of the partition, which the records move; while none come, the wall clock stands in for it. Nothing that
    is remembered changes, so that the results stay those of the records alone.
    """

    def __init__(self, series: Series, store: Store) -> None:
        self._store = store
        self._series = series
        self._least = float(self._bounds(series.longest).min())
        self._known: dict[Partition, tuple[PartitionState, _Candidates]] = {}

    def look(self, idle: Mapping[Partition, float]) -> list[Silent]:
        """All of them. `idle`: for how many seconds of the wall clock there has been nothing to read in a partition."""
        found, known = list[Silent](), dict[Partition, tuple[PartitionState, _Candidates]]()
        for partition, state in self._store.standing():
            entities, now = state.entities, state.clock.elapsed + idle.get(partition, 0.0)
            former, before = self._known.get(partition, (None, {}))  # one that was taken over has other places
            candidates = self._candidates(entities, now, before if former is state else {})
            if candidates:
                known[partition] = state, candidates
            over = {place: key for (place, seen), (key, bound) in candidates.items() if now - seen > bound}
            found += _silent(partition, list(over.values()), entities.values[list(over)]) if over else ()
        self._known = known
        return found

    def _candidates(self, entities: Entities, now: float, known: _Candidates) -> _Candidates:
        """Key and longest interval of each that may be one of them, by its place and when it was seen.

        Keys are looked up by place, which takes long, only for those that are not `known` from the last look.
        """
        values = entities.values
        open_ = np.flatnonzero(values["episodes"]["quiet"] < QUIET)
        open_ = open_[now - values["seen"][open_] > self._least]
        asked = list(zip(open_.tolist(), values["seen"][open_].tolist(), strict=True))
        new = {place for place, seen in asked if (place, seen) not in known}
        fresh = dict[int, tuple[Key, float]]()
        if new:
            keys = list(entities)
            at = dict(zip(entities.find(keys).tolist(), keys, strict=True))
            bounds = self._bounds(self._series.longest[self._series.places_of([at[place] for place in new])])
            fresh = {place: (at[place], bound) for place, bound in zip(new, bounds.tolist(), strict=True)}
        return {(place, seen): known.get((place, seen)) or fresh[place] for place, seen in asked}

    def _bounds(self, longest: Vector) -> Vector:
        """After how many seconds of silence an episode is over, from the longest intervals."""
        return np.minimum(np.where(np.isfinite(longest), longest, UNKNOWN), self._store.time_to_live)


def _silent(partition: Partition, keys: Sequence[Key], values: Values) -> Iterator[Silent]:
    """These entities of a partition, from what is remembered of them, (e,)."""
    episodes = values["episodes"]
    share = shares(episodes["deviations"].astype(np.float64))
    columns = (episodes["since"], episodes["worst"], values["past"]["last"], values["seen"])
    for key, part, (since, worst, last, seen) in zip(keys, share, np.stack(columns, axis=1).tolist(), strict=True):
        yield Silent(partition, key, since, worst, part, last, seen)
