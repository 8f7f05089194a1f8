"""What is remembered of the entities of each partition, bounded in time and in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aestream.state.entities import Entities, Values
from aestream.state.partition import PartitionState
from aestream.state.splits import Splits
from aestream.types import Key, Partition, Places, Span, Vector

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
    """What is remembered by partition: an entity in two partitions is two.

    The clock of a partition goes by the times of its records. An entity without a record for more than `time_to_live`
    seconds of that clock is forgotten: so what is remembered depends on the records and their order alone, not on when
    they are read.
    """

    def __init__(self, start: Entities, time_to_live: float = math.inf) -> None:
        """Begin with what `start` holds, as of no partition."""
        self._blank, self._layout = start.blank, start.layout
        self._parts: dict[Part, PartitionState] = {None: PartitionState(start)} if len(start) else {}
        self._time_to_live = time_to_live
        self.splits = Splits()

    def __len__(self) -> int:
        return sum(len(state.entities) for state in self._parts.values())

    @property
    def layout(self) -> np.dtype[Any]:
        """The structured type of what is remembered of an entity."""
        return self._layout

    @property
    def blank(self) -> Any:
        """What is remembered of an entity before its first record, shape ()."""
        return self._blank

    @property
    def size(self) -> int:
        """How many bytes are remembered."""
        return len(self) * self._layout.itemsize

    @property
    def time_to_live(self) -> float:
        """After how many seconds without a record an entity is forgotten."""
        return self._time_to_live

    def of(self, part: Part) -> PartitionState:
        """What is remembered of a partition."""
        if part not in self._parts:
            self._parts[part] = PartitionState(Entities(self._layout, self._blank))
        return self._parts[part]

    def standing(self) -> Iterator[tuple[Partition, PartitionState]]:
        """What is remembered of each partition of a topic."""
        for part, state in self._parts.items():
            if part is not None:
                yield part, state

    def values(self) -> list[Values]:
        """What is remembered of each entity, partition by partition, free places included."""
        return [state.values for state in self._parts.values()]

    def parts(self) -> list[Part]:
        """The partitions of which something is remembered."""
        return list(self._parts)

    def drop(self, parts: Iterable[Part]) -> None:
        """Forget partitions."""
        for part in parts:
            self._parts.pop(part, None)

    def give(self, part: Part) -> PartitionState:
        """Give up a partition, and return what was remembered of it."""
        state = self.of(part)
        del self._parts[part]
        return state

    def accept(self, part: Part, state: PartitionState) -> None:
        """Go on from what was remembered of a partition. Raises ValueError if that has another layout."""
        if state.entities.layout != self._layout:
            raise ValueError(f"what is remembered of {part} has another layout")
        state.entities.blank = self._blank
        self._parts[part] = state

    def passed(self, spans: Sequence[Span], stamps: Vector) -> Vector:
        """Move the clocks of partitions by the times of records (n,), in seconds; return what they then say, (n,)."""
        if len(spans) == 1:
            return self.of(spans[0].partition).clock.advanced(stamps, self._time_to_live)
        found = [self.of(part).clock.advanced(stamps[start:stop], self._time_to_live) for part, start, stop in spans]
        return np.concatenate(found) if found else np.zeros(0)

    def take(
        self,
        keys: Sequence[Key],
        spans: Sequence[Span] = (),
        passed: Vector | None = None,
        offsets: NDArray[np.int64] | None = None,
    ) -> Taken:
        """Take what is remembered of the entities with these keys (n,).

        `spans` say which partitions the rows came from, all from none by default. `passed` (n,) is what their clocks
        say, and `offsets` (n,) where each record stands; None: nobody is forgotten.
        """
        cuts = [(span.partition, span.start, span.stop) for span in spans] if spans else [(None, 0, len(keys))]
        found = [
            self._take(
                part,
                keys[start:stop],
                None if passed is None else passed[start:stop],
                None if offsets is None else offsets[start:stop],
            )
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
        return sum(
            state.forget(state.clock.elapsed - state.values["seen"] > self._time_to_live)
            for state in self._parts.values()
        )

    def evict(self, max_bytes: int) -> int:
        """Forget the entities that were not seen for longest until the others fit into `max_bytes`; return how many.

        Unlike the time to live, this depends on what else is remembered at that moment.
        """
        if self.size <= max_bytes:
            return 0
        ages = np.concatenate([state.clock.elapsed - state.values["seen"] for state in self._parts.values()])
        offsets = np.concatenate([values["offset"] for values in self.values()])
        known = np.flatnonzero(np.isfinite(ages))
        most = int(max_bytes * (1 - FREED)) // self._layout.itemsize
        if not len(known) or most >= len(known):
            return 0
        oldest = known[np.lexsort((offsets[known], -ages[known]))]  # in a partition, this is the order of offsets
        gone = np.zeros(len(ages), bool)
        gone[oldest[: len(known) - most]] = True
        parts = np.split(gone, np.cumsum(list(map(len, self.values())))[:-1])
        return sum(state.forget(which) for state, which in zip(self._parts.values(), parts, strict=True))

    def _take(self, part: Part, keys: Sequence[Key], passed: Vector | None, offsets: NDArray[np.int64] | None) -> Taken:
        """The same for one partition."""
        state = self.of(part)
        entities, known = state.entities, len(state.entities)
        places, first, owner = np.unique(state.places(keys), return_index=True, return_inverse=True)
        if part is not None and len(entities) > known:
            others = [(other, there.entities) for other, there in self.standing()]
            self.splits.see(part, entities.newest(len(entities) - known), others)
        values = entities.values[places]
        newest: Places = np.arange(len(places))
        if passed is not None and len(keys):
            if passed[-1] - np.fmin.reduce(values["seen"], initial=passed[0]) > self._time_to_live:
                values, first, owner, newest = self._split(state, values, owner, passed)
            last = np.empty(len(values), np.intp)
            last[owner] = np.arange(len(owner))  # of a place that is assigned to more than once, the last one counts
            values["seen"] = passed[last]
            if offsets is not None:
                values["offset"] = offsets[last] + 1
        return Taken(values, first, owner, [(entities, places, newest)])

    def _split(
        self, state: PartitionState, values: Values, owner: Places, passed: Vector
    ) -> tuple[Values, Places, Places, Places]:
        """Let entities begin anew where they were forgotten: values, first, owner, and which values are the newest."""
        order = np.argsort(owner, kind="stable")
        who, times = owner[order], passed[order]
        heads = np.diff(who, prepend=-1) > 0
        before = np.append(np.nan, times[:-1])
        before[heads] = values["seen"]
        forgotten = times - before > self._time_to_live
        begins = np.flatnonzero(heads | forgotten)
        split = values[who[begins]]
        again = split[forgotten[begins]]
        state.bury(again)
        split[forgotten[begins]] = self._blank
        split["logged"][forgotten[begins]] = again["logged"]
        number = np.empty_like(owner)
        number[order] = np.cumsum(heads | forgotten) - 1
        return split, order[begins], number, np.flatnonzero(np.append(heads[begins[1:]], True))
