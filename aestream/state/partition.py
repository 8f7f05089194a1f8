"""What is remembered of one partition: its entities, its clock, and how far back what was forgotten reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.state.entities import Entities, Values
from aestream.types import Flags, Key, Places, Vector

# What is remembered of an entity beside what its detector needs: the clock of its partition at its last record (NaN
# before the first), the offset after that record, and the same as of the entry that was written last; 0 is none.
LAYOUT: list[Any] = [("seen", "<f8"), ("offset", "<i8"), ("logged", "<i8")]

# A record moves the clock of its partition by no more than this share of the time to live, or so many seconds. One that
# is further ahead, or further back than the time to live, is a clock that lies, or an outage: it is followed if so many
# agree, one after another, and then the clock moves by one step. So neither makes others look forgotten.
STEP, LEAST_STEP, AGREEING = 0.01, 60.0, 100


@dataclass(slots=True)
class Clock:
    """The clock of a partition: how much time has passed, in seconds, and the time of its latest record."""

    elapsed: float = 0.0
    latest: float = 0.0  # 0: not known yet
    against: int = 0  # records in a row that say something else

    def advanced(self, stamps: Vector, time_to_live: float) -> Vector:
        """How much time has passed after each of the next records (n,), by their times in seconds, 0 if unknown."""
        step = float(np.floor(max(STEP * time_to_live, LEAST_STEP)))  # whole: exact sums in batches of any size
        latest = np.maximum.accumulate(np.append(self.latest, stamps))
        ahead = np.diff(latest)
        if (
            len(stamps)
            and self.latest
            and ahead.max() <= step
            and (latest[:-1] - stamps).max() <= time_to_live
            and stamps.min() > 0
        ):
            passed = self.elapsed + np.cumsum(ahead)
            self.latest, self.elapsed, self.against = float(latest[-1]), float(passed[-1]), 0
            return passed
        return np.array([self._passed(stamp, step, time_to_live) for stamp in stamps.tolist()], float)

    def _passed(self, stamp: float, step: float, time_to_live: float) -> float:
        """The same for one record."""
        if stamp <= 0:
            return self.elapsed
        if not self.latest:
            self.latest = stamp
        ahead = stamp - self.latest
        if -time_to_live <= ahead <= step:
            self.elapsed, self.latest, self.against = self.elapsed + max(ahead, 0.0), max(stamp, self.latest), 0
            return self.elapsed
        self.against += 1
        if self.against == AGREEING:
            self.elapsed, self.latest, self.against = self.elapsed + step, stamp, 0
        return self.elapsed


@dataclass(slots=True)
class PartitionState:
    """The entities of a partition by key, and its clock.

    Whoever is forgotten was seen no later than anybody who is not: by age, or to make room. So one offset tells which
    entries of a log are of no use: those with an offset up to `horizon`. `gone` are the entities that were forgotten
    and have an entry, with the offset of that.
    """

    entities: Entities
    clock: Clock = field(default_factory=Clock)
    horizon: int = 0
    gone: dict[Key, int] = field(default_factory=dict)

    @property
    def values(self) -> Values:
        """What is remembered of each entity, by place."""
        return self.entities.values

    def known(self, keys: Sequence[Key], offsets: NDArray[np.int64]) -> Flags:
        """Of which records, with these keys (n,) and offsets (n,), what is remembered of their entity comes after."""
        places = self.entities.find(keys)
        known = places >= 0
        known[known] = offsets[known] < self.values["offset"][places[known]]
        return known

    def forget(self, which: Flags) -> int:
        """Forget the entities at these places (p,), and count them."""
        if not which.any():
            return 0
        keys = list(self.entities)
        places = self.entities.places(keys)
        old = which[places]
        values = self.values[places[old]]
        names = [key for key, gone in zip(keys, old.tolist(), strict=True) if gone]
        self.bury(values)
        self.gone |= {key: logged for key, logged in zip(names, values["logged"].tolist(), strict=True) if logged}
        self.entities.drop(names)
        return len(names)

    def bury(self, values: Values) -> None:
        """Take note that what was remembered of some entities (e,) is forgotten."""
        self.horizon = max(self.horizon, int(values["offset"].max(initial=0)))

    def places(self, keys: Sequence[Key]) -> Places:
        """The place of each key (n,), where new ones get one. One that comes back is not gone."""
        places = self.entities.places(keys)
        if self.gone:
            for key in self.gone.keys() & set(keys):
                self.values["logged"][self.entities.places([key])] = self.gone.pop(key)
        return places

    def logged(self, horizon: int) -> tuple[int, int]:
        """How many entries have an offset beyond a horizon, and the sum of these: of whoever was not forgotten then."""
        offsets = np.concatenate([self.values["logged"], np.fromiter(self.gone.values(), np.int64, len(self.gone))])
        used = offsets[offsets > horizon]
        return len(used), int(used.sum())

    def useless(self, horizon: int) -> list[Key]:
        """The keys of entities that were forgotten, and of which an entry up to a horizon is left."""
        return [key for key, logged in self.gone.items() if logged <= horizon]

    def changed(self) -> list[Key]:
        """The keys of entities that are not as their entry has them."""
        keys = list(self.entities)
        values = self.values[self.entities.places(keys)]
        return [keys[place] for place in np.flatnonzero(values["offset"] != values["logged"]).tolist()]

    def rewrite(self) -> None:
        """Take note that there are no entries: all that is remembered is to be written."""
        self.values["logged"] = 0
        self.gone.clear()
