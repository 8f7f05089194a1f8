"""Episodes whose opening or closing could not be told, because the message was too large for its topic."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import Self

from msgspec.structs import replace

from aestream.messages.closings import Ended, Ending
from aestream.messages.episodes import CLOSED, ONGOING, OPENED
from aestream.messages.scores import Scored
from aestream.types import Batch

_MOST = 1000  # episodes that are kept in mind


class Untold:
    """What subscribers have missed of episodes, so that the next message makes up for it.

    The first message of an episode that they get says `opened`, and one whose last message they cannot get is among
    those that `ended`.
    """

    def __init__(self, unopened: Iterable[str] = ()) -> None:
        self._unopened = dict.fromkeys(unopened)
        self.ended: list[Ended] = []

    def after(self) -> Self:
        """What is still untold, for the next batch. A batch that is written again begins with the same."""
        return type(self)(list(self._unopened)[-_MOST:])

    def opened(self, scored: Scored) -> Scored:
        """Let the first message of an episode that is not opened yet open it."""
        if not self._unopened:
            return scored
        episodes = list(scored.episodes)
        for place, episode in enumerate(episodes):
            if episode.id in self._unopened:
                del self._unopened[episode.id]
                if episode.state == ONGOING:
                    episodes[place] = replace(episode, state=OPENED)
        return replace(scored, episodes=episodes)

    def missed(self, batch: Batch, scored: Scored, places: Collection[int]) -> None:
        """The messages about the records at these places in `scored.rows` cannot be told."""
        gone, reported = set(places), scored.reported.tolist()
        entities = dict(zip(reported, scored.entities or itertools.repeat({}), strict=False))
        for place, episode in zip(scored.told.tolist(), scored.episodes, strict=False):
            if place not in gone:
                continue
            if episode.state == OPENED:
                self._unopened[episode.id] = None
            elif episode.state == CLOSED:
                row = int(scored.rows[place])
                source, key, at = batch.sources[row], batch.keys[row], batch.timestamps[row]
                self.ended.append(Ended(Ending.TOO_LARGE, source, key, entities[place], episode, at))
