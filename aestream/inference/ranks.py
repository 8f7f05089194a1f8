"""What a value is among those of its entity: free of units, of levels, and of how far outliers lie."""

from __future__ import annotations

import numpy as np

from aestream.types import Flags, Matrix, Places, Vector


def within(matrix: Matrix, entity: Places) -> Matrix:
    """Ranks of (n, d) values among those of their entity, from -0.5 to 0.5, the mean of equal ones; 0 where missing.

    `entity` (n,) are whole-number codes. The ranks of an entity have the mean 0 in each column.
    """
    return np.column_stack([_within(column, entity) for column in matrix.T]) if matrix.size else np.zeros(matrix.shape)


def _within(column: Vector, entity: Places) -> Vector:
    there = np.flatnonzero(np.isfinite(column))
    rows = there[np.lexsort((column[there], entity[there]))]
    whose, values = entity[rows], column[rows]
    other = _changes(whose)
    # (first + last) / 2 of the rows with an equal value, and of those of the entity
    rank, middle = _middles(other | _changes(values)), _middles(other)
    ranks = np.zeros(len(column))
    ranks[rows] = (rank - middle) / np.bincount(np.cumsum(other) - 1)[np.cumsum(other) - 1]
    return ranks


def _changes(values: Vector | Places) -> Flags:
    """Where a value differs from the one before, (n,); the first one does."""
    changed: Flags = np.append(np.ones(min(len(values), 1), bool), values[1:] != values[:-1])
    return changed


def _middles(begins: Flags) -> Vector:
    """For each place, the middle of the stretch that it is in, (n,), where `begins` says that one begins."""
    start = np.flatnonzero(begins)
    end = np.append(start[1:], len(begins)) - 1
    middle: Vector = ((start + end) / 2)[np.cumsum(begins) - 1]
    return middle
