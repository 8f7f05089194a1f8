"""Flat JSON objects of numbers to columns by aestream-speedups, a decoder in C, where that package is installed.

It says which values it is sure of: these have the same numbers as the typed decoder's, to the bit. All others are left.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Self

import numpy as np

from aestream.codecs.base import Decoded
from aestream.codecs.problems import Path
from aestream.columns import UNITS, Column

_log = logging.getLogger(__name__)

try:
    import aestream_speedups
except ImportError:
    aestream_speedups = None

_INTERFACE = 1  # what `numbers` takes and does
_OPTIONAL, _BOOLEAN = 1, 2


def speedups() -> ModuleType | None:
    """The decoder in C; None where it is not installed, or is another version's."""
    found: ModuleType | None = aestream_speedups
    return found if getattr(found, "INTERFACE", None) == _INTERFACE else None


class FlatRows:
    """Reads the values that are objects with a number or boolean for each column, and says which others there are."""

    def __init__(
        self, decoder: ModuleType, names: Sequence[str], columns: Sequence[Column], *, max_record_bytes: int
    ) -> None:
        self._numbers = decoder.numbers
        self._names = tuple(names)
        self._columns = bytes(_OPTIONAL * c.imputed + _BOOLEAN * (c.wire is bool) for c in columns)
        self._units = {place: UNITS[column.unit] for place, column in enumerate(columns) if column.unit}
        self._max_bytes = max_record_bytes

    @classmethod
    def of(
        cls, paths: Sequence[Path], columns: Sequence[Column], asides: Sequence[str], *, max_record_bytes: int
    ) -> Self | None:
        """Make one for these features. Returns None without the decoder in C, or where it cannot have all fields."""
        decoder = speedups()
        if decoder is None:
            return None
        flat = all(len(path) == 1 for path in paths) and all(column.wire in {float, bool} for column in columns)
        if asides or not flat:
            _say("aestream-speedups is not used: it reads only features, and these at the top level, as numbers")
            return None
        _say("records are decoded by aestream-speedups")
        return cls(decoder, [path[0] for path in paths], columns, max_record_bytes=max_record_bytes)

    def read(self, values: Sequence[bytes | None], rows: Sequence[int]) -> tuple[Decoded, Sequence[int]]:
        """The features of the values at these ascending rows that are as expected, and the rows of the others."""
        some = list(values) if len(rows) == len(values) else [values[row] for row in rows]
        matrix, read = np.empty((len(some), len(self._names))), np.empty(len(some), np.bool_)
        done = self._numbers(some, self._names, self._columns, self._max_bytes, matrix, read)
        for place, parts in self._units.items():
            matrix[:, place] /= parts
        places = np.asarray(rows, np.intp)
        if done == len(some):
            return Decoded(matrix, places, ()), ()
        return Decoded(matrix[read], places[read], ()), places[~read].tolist()


@cache
def _say(text: str) -> None:
    """Log it once, however many decoders are made."""
    _log.info(text)
