"""Whether so many entities have moved for good that the model is to learn again: what the workers' commits say."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping

from aestream.errors import TransportError
from aestream.types import Partition, Standing

_log = logging.getLogger(__name__)

_LOOK = datetime.timedelta(minutes=1)
_PAUSE = datetime.timedelta(hours=1)


class Movement:
    """Looks about once a minute whether more than a `share` of the entities have moved.

    `standings` reads what the last commits say; it may raise TransportError. A training for this reason is followed by
    another one an hour later at the earliest, and only after the new version was seen to be better: a share that stays
    up, because a new model does not help, asks for nothing.
    """

    def __init__(self, standings: Callable[[], Mapping[Partition, Standing]], *, share: float) -> None:
        self._standings = standings
        self._share = share
        self._looked: datetime.datetime | None = None
        self._asked: datetime.datetime | None = None
        self._better = True  # whether fewer have moved since
        self._told = False  # that the commits cannot be read

    def asked_before(self, when: datetime.datetime) -> None:
        """The current version was trained for this reason, and has not been seen to be better."""
        self._asked, self._better = when, False

    def failed(self) -> None:
        """The training that was asked for made no version: ask again, after a while."""
        self._better = True

    def reason(self, version: str | None, now: datetime.datetime) -> str | None:
        """Why to train now, in words; None if there is no reason, or if it is not yet time to look again.

        `version` is the current one. What is said of others does not count: workers are about to load it. So there is
        no reason until it is used for at least half of the entities.
        """
        if version is None or _within(_LOOK, self._looked, now):
            return None
        self._looked = now
        found = self._read().values()
        there = [standing for standing in found if version in standing.versions]
        entities = sum(standing.entities for standing in there)
        if not entities or 2 * entities < sum(standing.entities for standing in found):
            return None
        share = sum(standing.moved for standing in there) / entities
        if share <= self._share:
            self._better = True
            return None
        if not self._better or _within(_PAUSE, self._asked, now):
            return None
        self._asked, self._better = now, False
        return f"{share:.0%} of {entities:,} entities have moved"

    def _read(self) -> Mapping[Partition, Standing]:
        try:
            found = self._standings()
        except TransportError as error:
            if not self._told:
                _log.warning("whether entities have moved is not known, so the schedule alone counts: %s", error)
            self._told = True
            return {}
        self._told = False
        return found


def _within(pause: datetime.timedelta, since: datetime.datetime | None, now: datetime.datetime) -> bool:
    """Whether a pause is not over yet; a moment in the future is of a clock that has been set back since."""
    return since is not None and datetime.timedelta() <= now - since < pause
