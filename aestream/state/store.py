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

# One record moves the clock of its partition by no more than this share of the time to live: a host whose clock is far
# ahead does not make others look forgotten, unless it sends a hundred records for each of theirs.
STEP = 0.01
# To evict entities one by one would cost a search each: so much of the memory is made free at once.
FREED = 0.1

Part: TypeAlias = Partition | None  # None: records that come from no topic


@dataclass(frozen=True, slots=True)
class Taken:
    """What is remembered of the entities of a batch, to be brought up to date and put back.

    `values` (e,): an entity that was forgotten in the middle of the batch has two. `first` (e,) is a row of each, and
    `owner` (n,) says which one each row belongs to.
    """

    values: Values
    first: Places
    owner: Places
    spans: Sequence[
        tuple[Entities, Places, Places]
    ]  # where they are kept: the places, and which of the values goes there


class Store:
    """Entities by partition: one that comes by two partitions is two entities.

    The clock of a partition is the latest time of its records so far. An entity without a record for more than
    `time_to_live` seconds of that clock is forgotten: so what is remembered depends on the records and their order
    alone, not on when they are read.
    """

    def __init__(self, start: Entities, time_to_live: float = math.inf) -> None:
        """Begin with what `start` holds, as of no partition."""
        self._blank, self._layout = start.blank, start.layout
        self._parts: dict[Part, Entities] = {None: start} if len(start) else {}
        self._clocks: dict[Part, float] = {}
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
        """Remember what `former` does, as `convert` makes it of the keys and values (e,) of each partition."""
        self._clocks.update(former._clocks)
        for part, entities in former._parts.items():
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
            entities, values, first, owner, places, newest = found[0]
            return Taken(values, first, owner, [(entities, places, newest)])
        sizes = np.cumsum([0, *(len(values) for _, values, *_ in found)])
        return Taken(
            np.concatenate([values for _, values, *_ in found]) if found else np.empty(0, self._layout),
            np.concatenate([first + start for (_, _, first, *_), (_, start, _) in zip(found, cuts, strict=True)]),
            np.concatenate([owner + size for (_, _, _, owner, *_), size in zip(found, sizes[:-1], strict=True)]),
            [
                (of, places, newest + size)
                for (of, _, _, _, places, newest), size in zip(found, sizes[:-1], strict=True)
            ],
        )

    def put(self, taken: Taken) -> None:
        """Remember what was taken and brought up to date. Nothing else may be taken in between."""
        for entities, places, newest in taken.spans:
            entities.values[places] = taken.values[newest]

    def forget_old(self) -> int:
        """Free the memory of entities whose time to live is over, and count them: a next record finds none anyway."""
        count = 0
        for part, entities in self._parts.items():
            clock = self._clocks.get(part, -math.inf)
            count += self._drop(entities, clock - entities.values["seen"] > self._time_to_live)
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

    def _take(
        self, part: Part, keys: Sequence[Key], stamps: Vector | None
    ) -> tuple[Entities, Values, Places, Places, Places, Places]:
        """The same for one partition: entities, values, first, owner, and which places get which of the values."""
        entities = self.of(part)
        places, first, owner = np.unique(entities.places(keys), return_index=True, return_inverse=True)
        values = entities.values[places]
        newest: Places = np.arange(len(places))
        if stamps is None or not len(keys):
            return entities, values, first, owner, places, newest
        clock = self._advanced(part, stamps)
        if clock[-1] - np.fmin.reduce(values["seen"], initial=clock[0]) > self._time_to_live:
            values, first, owner, newest = self._split(values, owner, clock)
        last = np.empty(len(values), np.intp)
        last[owner] = np.arange(len(owner))  # of a place that is assigned to more than once, the last one counts
        values["seen"] = clock[last]
        return entities, values, first, owner, places, newest

    def _advanced(self, part: Part, stamps: Vector) -> Vector:
        """The clock of a partition after each of its next records (n,), in seconds; it goes on from there."""
        step = STEP * self._time_to_live
        before = self._clocks.get(part, float(stamps[0]))
        clock: Vector = np.maximum(np.maximum.accumulate(stamps), before)
        if np.diff(clock, prepend=before).max() > step:
            listed, now = [], before
            for stamp in stamps.tolist():
                now = max(now, min(stamp, now + step))
                listed.append(now)
            clock = np.array(listed)
        self._clocks[part] = float(clock[-1])
        return clock

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
