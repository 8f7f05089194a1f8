"""Each entity's own scaling: one network serves many entities once their rows are moved into one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.types import Arrays, Flags, Matrix, Places, Vector

# An entity with fewer training rows than this has no scaling of its own.
OWN_ROWS = 100
# Rows that follow each other are alike: so many of them say as much as one.
ALIKE = 10
# A feature that never moves in an entity, but does in others, gets a spread all the same: this share of its value, or
# this share of the spread that it has in others, whichever is larger.
SHARE_OF_VALUE, SHARE_OF_USUAL = 1e-3, 0.05
# Less spread than this share of what all entities show is float noise.
FLOAT_NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class Scales:
    """The maps of E entities from their own units into the shared frame, in which all have the same centre and spread.

    `center`, `factor` (E + 1, d): of each entity, the first row for those without their own. `home` (d,): the centre of
    the frame. A row x of entity e is (x - center[e]) * factor[e] + home in the frame. Only numbers are moved.
    """

    center: Matrix
    factor: Matrix
    home: Vector

    @classmethod
    def fit(cls, matrix: Matrix, who: Places, numeric: Places) -> Self:
        """Learn from (n, d) rows, NaN where a value is missing, of the entities `who` (n,), 0 for those without.

        `numeric` are the places of the features to be scaled. Centre and spread of an entity are drawn towards what is
        usual, the more so the less its rows tell, against how much entities differ (James and Stein 1961).
        """
        count, width = int(who.max(initial=0)) + 1, matrix.shape[1]
        center, factor, home = np.zeros((count, width)), np.ones((count, width)), np.zeros(width)
        if count > 1 and len(numeric):
            values = matrix[:, numeric]
            there = ~np.isnan(values)
            unit = np.abs(values).max(axis=0, where=there, initial=0.0)
            unit[unit == 0] = 1.0
            shrunk = values / unit  # within -1..1, so that no sum or square overflows
            middle, spread = shrunk.mean(axis=0, where=there), shrunk.std(axis=0, where=there)
            spread[spread == 0] = 1.0
            own_center, own_spread = _own((shrunk - middle) / spread, there, who, count, middle / spread)
            center[:, numeric] = (own_center * spread + middle) * unit
            factor[:, numeric] = 1.0 / own_spread
            home[numeric] = middle * unit
            center[0], factor[0] = home, 1.0
        return cls(center, factor, home)

    def toward(self, matrix: Matrix, who: Places) -> Matrix:
        """Move (n, d) rows of the entities `who` (n,) from their own units into the shared frame."""
        own = np.flatnonzero(who) if len(self.center) > 1 else ()
        if not len(own):
            return matrix
        moved = matrix.copy()
        number = who[own]
        moved[own] = (matrix[own] - self.center[number]) * self.factor[number] + self.home
        return moved

    def back(self, matrix: Matrix, who: Places) -> Matrix:
        """Undo `toward`."""
        own = np.flatnonzero(who) if len(self.center) > 1 else ()
        if not len(own):
            return matrix
        moved = matrix.copy()
        number = who[own]
        moved[own] = (matrix[own] - self.home) / self.factor[number] + self.center[number]
        return moved

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        return {"center": self.center, "factor": self.factor, "home": self.home}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `arrays` returned."""
        return cls(arrays["center"], arrays["factor"], arrays["home"])


def numbered(owner: Places) -> tuple[Places, Places]:
    """Number the entities with enough rows from 1 -> the number of each row (n,), 0 for the others; and their owners.

    `owner` (n,): which entity each row is of.
    """
    owners, code, counts = np.unique(owner, return_inverse=True, return_counts=True)
    enough = counts >= OWN_ROWS
    number = np.where(enough, np.cumsum(enough), 0)
    return number[code], owners[enough]


def _own(scaled: Matrix, there: Flags, who: Places, count: int, shift: Vector) -> tuple[Matrix, Matrix]:
    """Centre and spread of each entity, (E + 1, d), by rows (n, d) that are scaled as a whole, to a mean of 0.

    `shift` (d,) is what that took from them. The first row means nothing.
    """
    rows = _sums(there.astype(np.float64), who, count)
    few, told = np.maximum(rows, 1.0), np.maximum(rows / ALIKE, 1e-9)
    mean = _sums(np.where(there, scaled, 0.0), who, count) / few
    variance = _sums(np.where(there, np.square(scaled - mean[who]), 0.0), who, count) / few
    known = rows > 0
    known[0] = False
    moves = known & (variance > FLOAT_NOISE**2)
    log = 0.5 * np.log(np.where(moves, variance, 1.0))
    usual = log.sum(axis=0) / np.maximum(moves.sum(axis=0), 1)
    log = usual + _trust(log - usual, 1.0 / told, moves) * (log - usual)
    fixed = np.maximum(SHARE_OF_VALUE * np.abs(mean + shift), SHARE_OF_USUAL * np.exp(usual))
    own_spread = np.where(moves, np.exp(log), np.where(known, fixed, 1.0))
    return np.where(known, _trust(mean, variance / told, known) * mean, 0.0), own_spread


def _trust(apart: Matrix, error: Matrix, known: Flags) -> Matrix:
    """How far each entity is its own, 0 to 1, by how far all are `apart` from the usual and by their squared errors."""
    count = np.maximum(known.sum(axis=0), 1)
    differ = np.where(known, np.square(apart) - error, 0.0).sum(axis=0) / count
    trust: Matrix = np.maximum(differ, 0.0) / np.maximum(np.maximum(differ, 0.0) + error, np.finfo(np.float64).tiny)
    return trust


def _sums(values: Matrix, who: Places, count: int) -> Matrix:
    """Add up (n, d) values by entity -> (count, d)."""
    order = np.argsort(who, kind="stable")
    sums = np.zeros((count, values.shape[1]))
    present, first = np.unique(who[order], return_index=True)
    sums[present] = np.add.reduceat(values[order], first, axis=0)
    return sums
