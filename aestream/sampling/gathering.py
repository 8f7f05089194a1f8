"""The records of a topic's past, as they are gathered: all of them, or all those of some of the entities."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain, compress
from typing import NamedTuple

import numpy as np

from aestream.codecs.base import Decoded
from aestream.features.roles import Marks
from aestream.portions import compact
from aestream.types import Batch, Flags, Key, Matrix, Places, Stamps, Vector

# A sample of some of the entities is to hold at least so many. None may fill more of it than one in so many.
MIN_ENTITIES, SHARES = 100, 20
# What is gathered is thinned to so much of the room there is, so that it is not thinned with each batch.
_FILLED = 0.9
_SPARE = 16  # room grows by one in so many rows
_GOLDEN, _RANGE = 2_654_435_769, 2**32  # the multiples of the first, modulo the second, are spread evenly


class _Beside(NamedTuple):
    """What is known of n records beside their features: timestamps, times and places of their entities, and keys."""

    stamps: Stamps
    moments: Vector
    places: Vector
    keys: Sequence[Key]

    def at(self, kept: Flags) -> _Beside:
        keys = list(compress(self.keys, kept.tolist()))
        return _Beside(self.stamps[kept], self.moments[kept], self.places[kept], keys)


class Gathering:
    """The n records that were decoded so far, and which offsets they came from.

    With `most`, no more rows than that are held. Where there are more, those of some entities go, chosen by a hash of
    the key: the others keep all of theirs. Only if one has more than its share of the room are its oldest ones dropped.
    """

    def __init__(self, features: int, most: int | None = None) -> None:
        none = np.empty(0)
        self._most = most
        self._matrix = np.empty((0, features))  # with room for more rows than are held
        self._beside = [_Beside(np.empty(0, np.int64), none, none, [])]
        self._known: dict[Key, Key] = {}  # a key comes with each record: one of them is enough
        self._held = 0
        self.share = 1.0  # of the entities, that are held
        self.invalid: Counter[str] = Counter()
        self.offsets: dict[str, list[int]] = {}
        self.seen = 0  # messages

    def add(self, batch: Batch, decoded: Decoded, marks: Marks) -> None:
        """Take what a batch holds, or those of its records that are of a chosen entity."""
        self.seen += len(batch)
        self.invalid.update(problem.reason.value for problem in decoded.invalid)
        for (topic, partition), start, stop in batch.spans:
            ends = batch.offsets[start], batch.offsets[stop - 1]
            known = self.offsets.get(f"{topic}/{partition}", ends)
            self.offsets[f"{topic}/{partition}"] = [min(*known, *ends), max(*known, *ends)]
        keys = marks.keys or ()
        times = np.full(len(decoded.matrix), np.nan) if marks.times is None else marks.times
        places = np.empty(0) if self._most is None else places_of(keys)
        matrix, beside = decoded.matrix, _Beside(decoded.timestamps, times, places, keys)
        if self.share < 1.0:
            kept = places < self.share
            matrix, beside = matrix[kept], beside.at(kept)
        self._hold(matrix, beside._replace(keys=list(map(self._known.setdefault, beside.keys, beside.keys))))
        if self._most is not None and self._held > self._most:
            self._thin(self._most)

    @property
    def matrix(self) -> Matrix:
        """The features of all that are held, (n, d), in the order in which they came. Ask once all are added."""
        return self._matrix[: self._held]

    @property
    def beside(self) -> _Beside:
        """What is known of them beside that."""
        *columns, keys = zip(*self._beside, strict=True)
        stamps, moments, places = map(np.concatenate, columns)
        self._beside = [_Beside(stamps, moments, places, list(chain.from_iterable(keys)))]
        return self._beside[0]

    @property
    def keys(self) -> Sequence[Key]:
        """The keys of their entities, (n,)."""
        return self.beside.keys

    def _hold(self, matrix: Matrix, beside: _Beside) -> None:
        """Add rows to those that are held: where the system can move pages, they are never in memory twice."""
        end = self._held + len(matrix)
        if end > len(self._matrix):
            # Nobody has a view of it yet. If numpy looked whether that is so, it would take a tracer's frame for one.
            self._matrix.resize((end + end // _SPARE, matrix.shape[1]), refcheck=False)
        self._matrix[self._held : end] = matrix
        self._beside.append(beside)
        self._held = end

    def _thin(self, most: int) -> None:
        """Drop entities, and the oldest rows of those that have very many, until there is room again."""
        beside = self.beside
        kept = _newest(beside.places, max(1, most // SHARES))
        if np.count_nonzero(kept) > most:
            self.share = float(np.sort(beside.places[kept])[int(_FILLED * most)])
            kept &= beside.places < self.share
        compact(self._matrix, np.flatnonzero(kept))
        self._beside = [beside.at(kept)]
        self._held = len(self._beside[0].stamps)
        self._known.clear()


def places_of(keys: Sequence[Key]) -> Vector:
    """Where in [0, 1) each key lies, (n,): the same in every process, and spread evenly."""
    hashes = np.fromiter((zlib.crc32(repr(key).encode()) for key in keys), np.uint64, len(keys))
    return hashes * _GOLDEN % _RANGE / _RANGE


def typical(keys: Sequence[Key]) -> int:
    """How many records the entity of a typical record has: half of the records (n,) are of those with fewer."""
    counts = np.sort(np.fromiter(Counter(keys).values(), np.int64))
    if not len(counts):
        return 0
    return int(counts[np.searchsorted(np.cumsum(counts), len(keys) / 2)])


def _newest(places: Vector, most: int) -> Flags:
    """Which rows (n,) are among the last `most` of their entity, of which `places` (n,) tell."""
    order = np.argsort(places, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(places[order])), len(order) - 1)
    last: Places = np.repeat(ends, np.diff(ends, prepend=-1))
    kept = np.empty(len(places), bool)
    kept[order] = last - np.arange(len(order)) < most
    return kept
