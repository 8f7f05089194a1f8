"""What is remembered, as messages of a compacted topic, and back: one entry for each entity, and a marker.

The topic keeps the last message of each key. The marker of a partition says up to which offset its entries are
complete: whoever goes on from them reads the partition's records from there, and leaves out of each entity's records
what its entry already holds. Entries may be ahead of the marker, never behind it.

The marker also counts the entries and adds up their offsets. An entry that is missing, or that a former owner wrote
late, over a newer one, changes these: an older one can only lower the sum. So what is not whole is not used.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np

from aestream.errors import DataError
from aestream.state import entities
from aestream.state.entities import Values, hashable
from aestream.types import Key, Partition

KEY_BYTES = 500  # an entity with a longer key is remembered in memory only
_VERSION = 1  # of what these messages mean


class Marker(msgspec.Struct, frozen=True):
    """Up to where the entries of a partition are complete, and how to go on from there.

    `next`: the first offset that they may lack. `elapsed`, `latest`, `against`: the clock of the partition there.
    `models`: the versions that score from which offsets on, the first one at `next` or before. `epoch` grows with each
    owner; entries of an epoch before `born`, or with an offset up to `horizon`, are of no use. `count` and `total`: how
    many others there are, and the sum of their offsets. `reading` says what the rows in the entries mean.
    """

    next: int
    epoch: int
    born: int
    models: Sequence[tuple[int, str]]
    reading: str = ""
    horizon: int = 0
    count: int = 0
    total: int = 0
    elapsed: float = 0.0
    latest: float = 0.0
    against: int = 0

    def stretches(self, stop: int) -> list[tuple[int, int, str]]:
        """The offsets from `next` to `stop` by the version that scores them: starts, stops, versions."""
        starts = [max(start, self.next) for start, _ in self.models]
        ends = [*starts[1:], stop]
        found = zip(starts, ends, self.models, strict=True)
        return [(start, min(end, stop), version) for start, end, (_, version) in found if start < min(end, stop)]


class Address(NamedTuple):
    """Whose messages they are: of a consumer group, and a partition of a topic with this id."""

    group: str
    topic: str
    topic_id: str
    partition: int

    @property
    def part(self) -> Partition:
        """The partition."""
        return Partition(self.topic, self.partition)


class Messages(NamedTuple):
    """Messages of a compacted topic, (m,) each: without a value, one deletes what its key had."""

    keys: list[bytes]
    values: list[bytes | None]


class Writer:
    """Makes the messages of one partition. `layout` is the structured type of what is remembered of an entity."""

    def __init__(self, address: Address, layout: np.dtype[Any]) -> None:
        self.address = address
        self._key = [*address, format_of(layout)]

    def entries(self, keys: Sequence[Key], values: Values, epoch: int) -> Messages:
        """The entries of entities (e,)."""
        framed = np.empty(len(values), _framed(values.dtype))
        framed["epoch"], framed["value"] = epoch, values
        joined, size = framed.tobytes(), framed.dtype.itemsize
        return Messages(self.keys(keys), [joined[at : at + size] for at in range(0, len(joined), size)])

    def fits(self, key: Key) -> bool:
        """Whether an entity's key is short enough for a message."""
        return len(msgspec.json.encode(key)) <= KEY_BYTES

    def marker(self, marker: Marker) -> Messages:
        """The marker."""
        return Messages([msgspec.json.encode(self._key)], [msgspec.json.encode(marker)])

    def keys(self, keys: Sequence[Key]) -> list[bytes]:
        """The keys of the messages about entities."""
        front = msgspec.json.encode(self._key)[:-1] + b","
        return [front + msgspec.json.encode(key) + b"]" for key in keys]


@dataclass(frozen=True, slots=True)
class Found:
    """What a topic holds of a partition: its marker, and what is remembered of entities (e,), as of their offsets."""

    marker: Marker
    keys: Sequence[Key]
    values: Values


@dataclass(slots=True)
class Reader:
    """Reads the messages of one partition, in the order of the topic.

    `useless` are the keys of messages that nobody needs any more: they are of a topic that was created again, or of
    another layout. Messages of a former owner that came late, after those of the next one, are ignored.
    """

    address: Address
    layout: np.dtype[Any]
    useless: set[bytes] = field(default_factory=set)
    _entries: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    _marker: tuple[int, Marker] | None = None
    _epoch: int = 0
    _count: int = 0
    _damage: dict[bytes, str] = field(default_factory=dict)  # by key
    _own: list[Any] = field(init=False)  # what the keys of its messages begin with
    _framed: np.dtype[Any] = field(init=False)

    def __post_init__(self) -> None:
        self._own, self._framed = [*self.address, format_of(self.layout)], _framed(self.layout)

    def read(self, key: bytes, parsed: list[Any], value: bytes | None) -> None:
        """Read a message, with its key as it is and parsed."""
        self._count += 1
        if parsed[: len(self._own)] != self._own:
            (self.useless.discard if value is None else self.useless.add)(key)
            return
        self._damage.pop(key, None)
        if len(parsed) == len(self._own):
            self._read_marker(key, value)
        elif value is None:
            self._entries.pop(key, None)
        elif len(value) != self._framed.itemsize:
            self._damage[key] = f"an entry has {len(value)} bytes instead of {self._framed.itemsize}"
        else:
            epoch = int.from_bytes(value[:8], "little")
            if epoch >= self._epoch:
                self._epoch, self._entries[key] = epoch, (self._count, value)

    @property
    def next_epoch(self) -> int:
        """The epoch of the next owner: the time, in milliseconds, unless the last one is ahead of that."""
        return max(self._epoch + 1, int(time.time() * 1000))

    @property
    def entities(self) -> list[Key]:
        """The keys of all entities that have an entry, whole or not."""
        parsed = [msgspec.json.decode(key) for key in {*self._entries, *self._damage}]
        return [hashable(key[-1]) for key in parsed if len(key) > len(self._own)]

    def found(self) -> Found | None:
        """What was read; None if there is nothing. Raises DataError if it is not whole."""
        for damage in self._damage.values():
            raise DataError(damage)
        if self._marker is None:
            if self._entries:
                raise DataError(f"there are {len(self._entries)} entries, and no marker")
            return None
        at, marker = self._marker
        keys, order = list(self._entries), np.array([place for place, _ in self._entries.values()], np.int64)
        framed = np.frombuffer(b"".join(value for _, value in self._entries.values()), self._framed)
        values = framed["value"].copy()
        born = framed["epoch"] >= marker.born
        # as the marker saw it: an entry that was written after it stands in the place of one with this offset
        offsets = np.where(order < at, values["offset"], values["logged"])
        counted = offsets[born & (offsets > marker.horizon)]
        if (len(counted), int(counted.sum())) != (marker.count, marker.total):
            raise DataError(f"its {marker.count} entries are not all there as they were written")
        alive = born & (values["offset"] > marker.horizon)
        values["logged"] = values["offset"]
        known = [hashable(msgspec.json.decode(key)[-1]) for key, used in zip(keys, alive.tolist(), strict=True) if used]
        return Found(marker, known, values[alive])

    def _read_marker(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._marker = None
            return
        try:
            marker = msgspec.json.decode(value, type=Marker)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._damage[key] = f"its marker cannot be read: {error}"
            return
        if not marker.models:
            self._damage[key] = "its marker names no version of the model"
            return
        if marker.epoch >= self._epoch:
            self._epoch, self._marker = marker.epoch, (self._count, marker)


def sort_out(
    readers: Mapping[tuple[str, Partition], Reader], keys: Sequence[bytes | None], values: Sequence[bytes | None]
) -> None:
    """Hand each message (m,) to the reader of its group and partition."""
    for key, value in zip(keys, values, strict=True):
        try:
            parsed = msgspec.json.decode(key or b"", type=list[Any])
            reader = readers.get((parsed[0], Partition(parsed[1], parsed[3])))
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError, TypeError):  # not one of ours
            continue
        if reader is not None and key is not None:
            reader.read(key, parsed, value)


def format_of(layout: np.dtype[Any]) -> str:
    """A short name for the format of entries with this layout: another layout has another one."""
    return f"{_VERSION}-{entities.format_of(layout).hex()}"


def _framed(layout: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("epoch", "<i8"), ("value", layout)])
