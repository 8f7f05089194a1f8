"""Episodes of several entities that belong together: they overlap in time, and the same features show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from aestream.messages.episodes import CLOSED, OPENED, Episode

# Two episodes have the same features if the shares that both have, the smaller one of each feature, add up to this.
ALIKE = 0.5
# An episode that opens at most so many milliseconds before an incident, or after its latest message, joins it. What is
# over is joined only by what began before its end: of two partitions, one may be read long before the other.
APART = 3_600_000
# What is kept in mind, the newest ones.
MOST_INCIDENTS, MOST_EPISODES = 100, 10_000


@dataclass(slots=True)
class _Incident:
    """The shares of its first episode, from when to when it has told something, and how many episodes are open."""

    shares: Mapping[str, float]
    first: int
    last: int
    open: int = 0

    def alike(self, shares: Mapping[str, float], at: int) -> float:
        """How much of the shares an episode that opens at this time has in common with it; 0 if they do not overlap."""
        if not self.first - APART <= at <= self.last + (APART if self.open else 0):
            return 0.0
        return sum(min(share, self.shares.get(name, 0.0)) for name, share in shares.items())


class Incidents:
    """Gives each episode the incident that it belongs to: the id of the first of its episodes.

    An episode that opens joins the incident with the most in common, by the times of their records, or begins one. It
    stays there until it is closed. One that was opened before, by another worker or before a restart, has none.
    """

    def __init__(self) -> None:
        self._incidents: dict[str, _Incident] = {}
        self._of: dict[str, str] = {}

    def mark(self, episodes: Iterable[Episode], times: Iterable[int]) -> list[Episode]:
        """Return the episodes with their incidents, in order; `times` are those of their records, in milliseconds."""
        return [replace(one, incident=self._incident(one, at)) for one, at in zip(episodes, times, strict=True)]

    def _incident(self, episode: Episode, at: int) -> str | None:
        if episode.state == OPENED and episode.id not in self._of:
            self._open(episode, at)
        closed = episode.state == CLOSED
        name = self._of.pop(episode.id, None) if closed else self._of.get(episode.id)
        incident = None if name is None else self._incidents.get(name)
        if incident is not None:
            # the record that closes an episode may come long after it, or have a wrong time
            end = min(at, incident.last + APART) if closed else at
            incident.first, incident.last = min(incident.first, at), max(incident.last, end)
            incident.open -= closed
        return name

    def _open(self, episode: Episode, at: int) -> None:
        shares = {part.name: part.share for part in episode.features}
        alike = {name: incident.alike(shares, at) for name, incident in self._incidents.items()}
        name = max(alike, key=alike.__getitem__, default=episode.id)
        if alike.get(name, 0.0) < ALIKE:
            name = episode.id
            self._incidents[name] = _Incident(shares, at, at)
            if len(self._incidents) > MOST_INCIDENTS:
                del self._incidents[next(iter(self._incidents))]
        self._incidents[name].open += 1
        self._of[episode.id] = name
        if len(self._of) > MOST_EPISODES:
            del self._of[next(iter(self._of))]
