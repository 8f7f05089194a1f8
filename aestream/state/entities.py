"""What is remembered of each entity, as one record of a numpy array: it has a size, a snapshot, and a way to go on."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from aestream.errors import DataError
from aestream.types import Key, Places

Values: TypeAlias = NDArray[np.void]  # (e,) of a structured type: what is remembered of e entities

SMALLEST = 16  # entities that there is room for at first


class Entities:
    """The entities by key, and what is remembered of each.

    Args:
        layout: the structured type of what is remembered of one entity. A nested field for each part that remembers
            something keeps the parts apart; fields of 8 bytes each are the fastest.
        blank: what is remembered of an entity before its first record: one value of that type.

    Ask for `places` first, and only then for `values`: new entities may move it. `values[places]` is a copy of what is
    remembered of some entities; change it, and assign it back. Room doubles when it runs out: old and new values are
    then both in memory for a moment.
    """

    def __init__(self, layout: np.dtype[Any], blank: NDArray[np.void]) -> None:
        self.blank = np.asarray(blank, dtype=layout)
        self._places = _Places()
        self._values: Values = np.empty(SMALLEST, dtype=layout)
        self._ready = 0  # places with a value
        self.format = format_of(layout)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    @property
    def layout(self) -> np.dtype[Any]:
        """The structured type of what is remembered of one entity."""
        return self._values.dtype

    @property
    def size(self) -> int:
        """How many bytes are remembered of one entity, without its key."""
        return self.layout.itemsize

    @property
    def values(self) -> Values:
        """What is remembered of each entity, by place."""
        return self._values[: self._ready]

    def places(self, keys: Sequence[Key] | NDArray[Any]) -> Places:
        """The place of each key in `values`, (n,). A new key gets a place, and the blank value."""
        listed = keys.tolist() if isinstance(keys, np.ndarray) else keys
        places = np.fromiter(map(self._places.__getitem__, listed), dtype=np.intp, count=len(listed))
        self._prepare()
        return places

    def find(self, keys: Sequence[Key]) -> Places:
        """The place of each key in `values`, (n,): -1 for one that is not known."""
        return np.fromiter(map(self._places.get, keys, itertools.repeat(-1)), dtype=np.intp, count=len(keys))

    def newest(self, count: int) -> list[Key]:
        """The last `count` entities that got a place, in that order."""
        return list(itertools.islice(reversed(self._places), count))[::-1]

    def among(self, keys: Iterable[Key]) -> set[Key]:
        """Those of the keys that are known."""
        return self._places.keys() & set(keys)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget these entities. Their places are for new ones. Keys that are not known are ignored."""
        for key in keys:
            place = self._places.pop(key, None)
            if place is not None:
                self._values[place] = self.blank
                self._places.free.append(place)

    def copy(self) -> Entities:
        """The same entities and values; what happens to the copy leaves these as they are."""
        twin = Entities(self.layout, self.blank)
        twin._places, twin._values, twin._ready = self._places.copy(), self.values.copy(), self._ready
        return twin

    def snapshot(self) -> bytes:
        """All entities and what is remembered of them, for `restore`."""
        places = np.fromiter(self._places.values(), dtype=np.intp, count=len(self._places))
        return msgspec.msgpack.encode((self.format, list(self._places), self._values[places].view(np.uint8).data))

    def restore(self, snapshot: bytes) -> None:
        """Remember what a snapshot holds, and nothing else. Raises DataError if it is not one of this layout."""
        try:
            known, keys, values = msgspec.msgpack.decode(snapshot, type=tuple[bytes, list[Any], bytes])
        except (msgspec.DecodeError, TypeError) as error:
            raise DataError(f"this is not a snapshot of what is remembered of entities: {error}") from error
        if known != self.format or len(values) != len(keys) * self.size:
            raise DataError("this snapshot of what is remembered of entities has another format: start without it")
        self._places, self._ready = _Places(), 0
        places = self.places(list(map(hashable, keys)))
        self._values[places] = np.frombuffer(values, dtype=self.layout)

    def _prepare(self) -> None:
        """Make room for the places that were given away, and put the blank value there."""
        end = self._places.end
        if end > len(self._values):
            room = np.empty(max(end, 2 * len(self._values)), dtype=self.layout)
            room[: self._ready] = self.values
            self._values = room
        self._values[self._ready : end] = self.blank
        self._ready = end


class _Places(dict[Key, int]):
    """A place for each key; a key that is not known gets a free one."""

    def __init__(self) -> None:
        super().__init__()
        self.end = 0
        self.free: list[int] = []

    def copy(self) -> _Places:
        """The same keys and places, free ones as well."""
        twin = _Places()
        twin.update(self)
        twin.end, twin.free = self.end, self.free.copy()
        return twin

    def __missing__(self, key: Key) -> int:
        if self.free:
            place = self.free.pop()
        else:
            place = self.end
            self.end += 1
        self[key.item() if isinstance(key, np.generic) else key] = place
        return place


def format_of(layout: np.dtype[Any]) -> bytes:
    """A short name for a layout: another one has another name."""
    return hashlib.blake2b(str(layout).encode(), digest_size=8).digest()


def hashable(key: Any) -> Key:
    """A key as it was before msgpack, which turns tuples into lists."""
    return tuple(map(hashable, key)) if isinstance(key, list) else key
