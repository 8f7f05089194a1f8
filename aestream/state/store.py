"""What is remembered of the entities of each partition, bounded in time and in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aestream.state.entities import Entities, Values
from aestream.types import Key, Partition, Places, Span, Vector

# What the store itself remembers of an entity: the clock of its partition at its last record; NaN before the first.
LAYOUT: list[Any] = [("seen", "<f8")]

# A record moves the clock of its partition by no more than this share of the time to live, or so many seconds. One that
# is further ahead, or further back than the time to live, is a clock that lies, or an outage: it is followed if so many
# agree, one after another, and then the clock moves by one step. So neither makes others look forgotten.
STEP, LEAST_STEP, AGREEING = 0.01, 60.0, 100
# To evict entities one by one would cost a search each: so much of the memory is made free at once.
FREED = 0.1

Part: TypeAlias = Partition | None  # None: records that come from no topic


@dataclass(frozen=True, slots=True)
class Taken:
    """What is remembered of the entities of a batch, to be brought up to date and put back.

    `values` (e,): an entity that was forgotten in the middle of the batch has two. `first` (e,) is a row of each, and
    `owner` (n,) says which one each row belongs to. `kept` says where they are kept, by partition: the places, and
    which of the values goes there.
    """

    values: Values
    first: Places
    owner: Places
    kept: Sequence[tuple[Entities, Places, Places]]


class Store:
    """Entities by partition: one that comes by two partitions is two entities.

    The clock of a partition goes by the times of its records. An entity without a record for more than `time_to_live`
    seconds of that clock is forgotten: so what is remembered depends on the records and their order alone, not on when
    they are read.
    """

    def __init__(self, start: Entities, time_to_live: float = math.inf) -> None:
        """Begin with what `start` holds, as of no partition."""
        self._blank, self._layout = start.blank, start.layout
        self._parts: dict[Part, Entities] = {None: start} if len(start) else {}
        self._clocks: dict[Part, _Clock] = {}
        self._time_to_live = time_to_live

    def __len__(self) -> int:
        return sum(map(len, self._parts.values()))

    @property
    def size(self) -> int:
        """How many bytes are remembered."""
        return len(self) * self._layout.itemsize

    def of(self, part: Part) -> Entities:
        """The entities of a partition."""
        if part not in self._parts:
            self._parts[part] = Entities(self._layout, self._blank)
        return self._parts[part]

    def values(self) -> list[Values]:
        """What is remembered of each entity, partition by partition, free places included."""
        return [entities.values for entities in self._parts.values()]

    def adopt(self, former: Store, convert: Callable[[Sequence[Key], Values], Values]) -> None:
        """Take over what `former` remembers, as `convert` makes it of the keys and values (e,) of each partition."""
        self._clocks.update(former._clocks)
        while former._parts:  # given up one after another, so that not all is in memory twice
            part, entities = former._parts.popitem()
            keys, own = list(entities), self.of(part)
            values = convert(keys, entities.values[entities.places(keys)])
            places = own.places(keys)
            own.values[places] = values

    def drop(self, parts: Iterable[Part]) -> None:
        """Forget partitions."""
        for part in parts:
            self._parts.pop(part, None)
            self._clocks.pop(part, None)

    def take(self, keys: Sequence[Key], spans: Sequence[Span] = (), stamps: Vector | None = None) -> Taken:
        """Take what is remembered of the entities with these keys (n,).

        `spans` say which partitions the rows came from, all from none by default. `stamps` (n,) are the times of the
        records, in seconds, for the partitions' clocks; None: the clocks stand still.
        """
        cuts = [(span.partition, span.start, span.stop) for span in spans] if spans else [(None, 0, len(keys))]
        found = [
            self._take(part, keys[start:stop], None if stamps is None else stamps[start:stop])
            for part, start, stop in cuts
        ]
        if len(found) == 1:
            return found[0]
        sizes = np.cumsum([0, *(len(part.values) for part in found)])[:-1].tolist()
        return Taken(
            np.concatenate([part.values for part in found]),
            np.concatenate([part.first + start for part, (_, start, _) in zip(found, cuts, strict=True)]),
            np.concatenate([part.owner + size for part, size in zip(found, sizes, strict=True)]),
            [
                (of, places, newest + size)
                for part, size in zip(found, sizes, strict=True)
                for of, places, newest in part.kept
            ],
        )

    def put(self, taken: Taken) -> None:
        """Remember what was taken and brought up to date. Nothing else may be taken in between."""
        for entities, places, newest in taken.kept:
            entities.values[places] = taken.values[newest]

    def forget_old(self) -> int:
        """Free the memory of entities whose time to live is over, and count them: a next record finds none anyway."""
        count = 0
        for part, entities in self._parts.items():
            if part in self._clocks:
                silent = self._clocks[part].elapsed - entities.values["seen"]
                count += self._drop(entities, silent > self._time_to_live)
        return count

    def evict(self, max_bytes: int) -> int:
        """Forget the entities that were not seen for longest until the others fit into `max_bytes`; return how many.

        Unlike the time to live, this depends on what else is remembered at that moment.
        """
        if self.size <= max_bytes:
            return 0
        seen = np.concatenate([values["seen"] for values in self.values()])
        known = np.flatnonzero(np.isfinite(seen))
        most = int(max_bytes * (1 - FREED)) // self._layout.itemsize
        if not len(known) or most >= len(known):
            return 0
        gone = np.zeros(len(seen), bool)  # by order: many may have been seen at the same time
        gone[known[np.argsort(seen[known], kind="stable")[: len(known) - most]]] = True
        parts = np.split(gone, np.cumsum(list(map(len, self.values())))[:-1])
        return sum(map(self._drop, self._parts.values(), parts))

    def _drop(self, entities: Entities, which: NDArray[np.bool_]) -> int:
        if not which.any():
            return 0
        keys = list(entities)
        old = which[entities.places(keys)]
        entities.drop([key for key, gone in zip(keys, old.tolist(), strict=True) if gone])
        return int(np.count_nonzero(old))

    def _take(self, part: Part, keys: Sequence[Key], stamps: Vector | None) -> Taken:
        """The same for one partition."""
        entities = self.of(part)
        places, first, owner = np.unique(entities.places(keys), return_index=True, return_inverse=True)
        values = entities.values[places]
        newest: Places = np.arange(len(places))
        if stamps is not None and len(keys):
            clock = self._clocks.setdefault(part, _Clock()).advanced(stamps, self._time_to_live)
            if clock[-1] - np.fmin.reduce(values["seen"], initial=clock[0]) > self._time_to_live:
                values, first, owner, newest = self._split(values, owner, clock)
            last = np.empty(len(values), np.intp)
            last[owner] = np.arange(len(owner))  # of a place that is assigned to more than once, the last one counts
            values["seen"] = clock[last]
        return Taken(values, first, owner, [(entities, places, newest)])

    def _split(self, values: Values, owner: Places, clock: Vector) -> tuple[Values, Places, Places, Places]:
        """Let entities begin anew where they were forgotten: values, first, owner, and which values are the newest."""
        order = np.argsort(owner, kind="stable")
        who, times = owner[order], clock[order]
        heads = np.diff(who, prepend=-1) > 0
        before = np.append(np.nan, times[:-1])
        before[heads] = values["seen"]
        forgotten = times - before > self._time_to_live
        begins = np.flatnonzero(heads | forgotten)
        split = values[who[begins]]
        split[forgotten[begins]] = self._blank
        number = np.empty_like(owner)
        number[order] = np.cumsum(heads | forgotten) - 1
        return split, order[begins], number, np.flatnonzero(np.append(heads[begins[1:]], True))


@dataclass(slots=True)
class _Clock:
    """The clock of a partition: how much time has passed, in seconds, and the time of its latest record."""

    elapsed: float = 0.0
    latest: float = 0.0  # 0: not known yet
    against: int = 0  # records in a row that say something else

    def advanced(self, stamps: Vector, time_to_live: float) -> Vector:
        """How much time has passed after each of the next records (n,), by their times in seconds, 0 if unknown."""
        step = max(STEP * time_to_live, LEAST_STEP)
        latest = np.maximum.accumulate(np.append(self.latest, stamps))
        ahead = np.diff(latest)
        if self.latest and ahead.max() <= step and (latest[:-1] - stamps).max() <= time_to_live and stamps.min() > 0:
            passed = self.elapsed + np.cumsum(ahead)
            self.latest, self.elapsed, self.against = float(latest[-1]), float(passed[-1]), 0
            return passed
        return np.array([self._passed(stamp, step, time_to_live) for stamp in stamps.tolist()])

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
