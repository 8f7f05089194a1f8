"""A large table in portions: what is computed on the way then needs little memory beside the table itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aestream.types import Matrix, Places

# Values computed with at a time.
_VALUES = 2_000_000
_LEAST_COLUMNS = 2


class Table(Protocol):
    """Rows (n, d) of which columns can be had: a matrix, or what makes them when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and columns, (n, d)."""

    def __getitem__(self, place: tuple[slice, slice], /) -> Matrix:
        """Some of the columns, (n, k), of all rows."""


def columns(rows: int, width: int) -> Iterator[slice]:
    """Cut the columns of a table (rows, width) into portions.

    Two columns at least, if there are two: numpy adds up a single one in another order, so it rounds otherwise.
    """
    step = max(_LEAST_COLUMNS, _VALUES // max(rows, 1))
    ends = np.linspace(0, width, max(1, width // step) + 1).astype(int).tolist()
    return map(slice, ends[:-1], ends[1:])


def rows(count: int, width: int) -> Iterator[slice]:
    """Cut the rows of a table (count, width) into portions."""
    step = max(1, _VALUES // max(width, 1))
    return (slice(start, start + step) for start in range(0, count, step))


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Some rows (n,) and columns (d,) of a matrix, copied a few columns at a time."""

    matrix: Matrix
    rows: Places
    columns: Places

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and columns, (n, d)."""
        return len(self.rows), len(self.columns)

    def __getitem__(self, place: tuple[slice, slice], /) -> Matrix:
        """Some of the columns, (n, k), of all rows."""
        chosen: Matrix = self.matrix[:, self.columns[place[1]]][self.rows]
        return chosen


def compact(array: NDArray[Any], kept: Places) -> NDArray[Any]:
    """Move the rows `kept` (m,), ascending, to the front of an array (n, ...), in place -> these, (m, ...)."""
    for place in rows(len(kept), array[:1].size):
        array[: len(kept)][place] = array[kept[place]]
    return array[: len(kept)]


def reorder(matrix: Matrix, order: Places) -> None:
    """Bring the rows of a matrix (n, d) into an order (n,), in place."""
    if (order[1:] < order[:-1]).any():
        for place in columns(*matrix.shape):
            matrix[:, place] = matrix[order, place]
