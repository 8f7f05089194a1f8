"""Chooses some of the records that stream past: some from all times, and all records of some keys."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aestream.inference.documents import Documents
from aestream.types import Flags, Places, Stamps, Vector

# Fewer keys than this are not typical of all of them, and each has enough records among those from all times.
_MIN_KEYS = 20
_MIN_ROWS = 20  # no row may fill more than its share of what is kept, however many records it holds
_GOLDEN, _RANGE = 2_654_435_769, 2**32  # the multiples of the first, modulo the second, are spread evenly


def evenly(first: int, count: int) -> Vector:
    """The places of the numbers from `first` on -> (count,) in [0, 1).

    Those below a share are that share of the numbers, spread over all of them, whatever comes back every few numbers.
    """
    return np.arange(first, first + count) * _GOLDEN % _RANGE / _RANGE


class Spread:
    """At most `records` records of at most `max_bytes` together, chosen with an equal chance at any time.

    Among many keys, a record chosen by its time alone would be the only one of its key, and could not be compared with
    the one before. So half of the records are all records of keys that are chosen by their hash.
    """

    def __init__(self, *, records: int, max_bytes: int) -> None:
        self._max_records = records
        self._max_bytes = max_bytes
        self._share_of_rows = self._share_of_keys = 1.0
        self._seen = 0
        self._rows: Vector = np.empty(0)  # the place of each chosen record in [0, 1), by its number
        self._hashes: Vector = np.empty(0)  # the same by its key; infinite without a key
        self._sizes: Vector = np.empty(0)
        self._stamps: Stamps = np.empty(0, np.int64)
        self._keys: list[bytes | None] = []
        self._records: list[Mapping[str, Any]] = []

    def choose(self, keys: Sequence[bytes | None]) -> Places:
        """Which rows of the next batch to give to `add`, by the keys of all of its rows."""
        rows, hashes = self._places(keys)
        return np.flatnonzero(self._wanted(rows, hashes))

    def add(
        self,
        chosen: Places,
        keys: Sequence[bytes | None],
        stamps: Sequence[int],
        values: Sequence[bytes | None],
        records: Sequence[Sequence[Mapping[str, Any]]],
    ) -> None:
        """Keep the chosen rows of a batch; `records` are those in each of them, all else is the whole batch's.

        Of a row with very many records, some from all over it are kept.
        """
        rows, hashes = self._places(keys)
        self._seen += len(keys)
        most = max(1, self._max_records // _MIN_ROWS)
        records = [found if len(found) <= most else found[:: -(-len(found) // most)] for found in records]
        counts = list(map(len, records))
        there = np.repeat(chosen, counts)
        places = there.tolist()
        self._rows = np.append(self._rows, rows[there])
        self._hashes = np.append(self._hashes, hashes[there])
        sizes = np.array([float(len(values[place] or b"")) for place in chosen.tolist()])
        self._sizes = np.append(self._sizes, np.repeat(sizes / np.maximum(counts, 1), counts))
        self._stamps = np.append(self._stamps, np.asarray(stamps, np.int64)[there])
        self._keys.extend(map(keys.__getitem__, places))
        self._records.extend(itertools.chain.from_iterable(records))
        while len(self._records) > self._max_records or self._sizes.sum() > self._max_bytes:
            self._thin()

    def _places(self, keys: Sequence[bytes | None]) -> tuple[Vector, Vector]:
        some = list(map(bool, keys))
        hashes = np.full(len(keys), np.inf)
        hashes[some] = np.fromiter(map(zlib.crc32, filter(None, keys)), np.uint64) * _GOLDEN % _RANGE / _RANGE
        return evenly(self._seen, len(keys)), hashes

    def _wanted(self, rows: Vector, hashes: Vector) -> Flags:
        return (rows < self._share_of_rows) | (hashes < self._share_of_keys)

    def _thin(self) -> None:
        """Halve the larger part, of what is there and of what comes, so that all times count equally."""
        by_key = self._hashes[self._hashes < self._share_of_keys]
        if len(by_key) >= np.count_nonzero(self._rows < self._share_of_rows):
            self._share_of_keys /= 2
            if len(np.unique(by_key[by_key < self._share_of_keys])) < _MIN_KEYS:
                self._share_of_keys = 0.0
        else:
            self._share_of_rows /= 2
        kept = self._wanted(self._rows, self._hashes)
        self._rows, self._hashes, self._sizes = self._rows[kept], self._hashes[kept], self._sizes[kept]
        self._stamps = self._stamps[kept]
        self._keys = list(itertools.compress(self._keys, kept.tolist()))
        self._records = list(itertools.compress(self._records, kept.tolist()))

    def documents(self) -> Documents:
        """What was kept, in the order in which it came, with the timestamps as they were."""
        keys = [None if key is None else key.decode(errors="replace") for key in self._keys]
        return Documents(self._records, keys, self._stamps)
