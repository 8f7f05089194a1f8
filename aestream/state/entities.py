"""What is remembered of each entity, as one record of a numpy array: it has a size, a snapshot, and a way to go on."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from aestream.errors import DataError
from aestream.types import Places

Key: TypeAlias = Hashable  # str, bytes, int, None, or a tuple of these: what a snapshot can carry
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
    def format(self) -> bytes:
        """Eight bytes that stand for the layout: another layout has others."""
        return hashlib.blake2b(str(self.layout).encode(), digest_size=8).digest()

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

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget these entities. Their places are for new ones. Keys that are not known are ignored."""
        for key in keys:
            place = self._places.pop(key, None)
            if place is not None:
                self._values[place] = self.blank
                self._places.free.append(place)

    def copy(self) -> Entities:
        """The same entities and values; what happens to the copy leaves these as they are."""
        twin = copy.copy(self)
        twin._places = copy.deepcopy(self._places)  # noqa: SLF001
        twin._values = self.values.copy()  # noqa: SLF001
        return twin

    def entry(self, key: Key) -> bytes:
        """What is remembered of one entity, for `put`. Raises KeyError for a key that is not known."""
        if key not in self._places:
            raise KeyError(key)
        value: bytes = self._values[self._places[key]].tobytes()
        return self.format + value

    def put(self, key: Key, entry: bytes) -> None:
        """Let an entity go on from its entry. Raises DataError if it is not an entry of this layout."""
        if len(entry) != len(self.format) + self.size or not entry.startswith(self.format):
            raise DataError(f"what is remembered of {key!r} has another format: start without it")
        (place,) = self.places([key])
        self._values[place] = np.frombuffer(entry, dtype=self.layout, offset=len(self.format))[0]

    def snapshot(self) -> bytes:
        """All entities and what is remembered of them, for `restore`."""
        places = np.fromiter(self._places.values(), dtype=np.intp, count=len(self._places))
        return msgspec.msgpack.encode((self.format, list(self._places), self._values[places].tobytes()))

    def restore(self, snapshot: bytes) -> None:
        """Remember what a snapshot holds, and nothing else. Raises DataError if it is not one of this layout."""
        try:
            known, keys, values = msgspec.msgpack.decode(snapshot, type=tuple[bytes, list[Any], bytes])
        except msgspec.DecodeError as error:
            raise DataError(f"this is no snapshot of what is remembered of entities: {error}") from error
        if known != self.format or len(values) != len(keys) * self.size:
            raise DataError("this snapshot of what is remembered of entities has another format: start without it")
        self._places, self._ready = _Places(), 0
        self.places([_hashable(key) for key in keys])
        self.values[:] = np.frombuffer(values, dtype=self.layout)

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

    def __missing__(self, key: Key) -> int:
        if self.free:
            place = self.free.pop()
        else:
            place = self.end
            self.end += 1
        self[key.item() if isinstance(key, np.generic) else key] = place
        return place


def _hashable(key: Any) -> Key:
    """A key as it was before msgpack, which turns tuples into lists."""
    return tuple(map(_hashable, key)) if isinstance(key, list) else key
