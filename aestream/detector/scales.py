"""Each entity's own scaling: one network serves many entities once their rows are moved into one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream import portions
from aestream.portions import Table
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
    def fit(cls, table: Table, who: Places, numeric: Places) -> Self:
        """Learn from (n, d) rows, NaN where a value is missing, of the entities `who` (n,), 0 for those without.

        `numeric` are the places of the features to be scaled. Centre and spread of an entity are drawn towards what is
        usual, the more so the less its rows tell, against how much entities differ (James and Stein 1961).
        """
        count, width = int(who.max(initial=0)) + 1, table.shape[1]
        center, factor, home = np.zeros((count, width)), np.ones((count, width)), np.zeros(width)
        if count > 1:
            groups = _Groups.of(who, count)
            for place in portions.columns(*table.shape):
                some = numeric[(numeric >= place.start) & (numeric < place.stop)]
                if len(some):
                    found = _found(table[:, place][:, some - place.start], groups)
                    center[:, some], factor[:, some], home[some] = found
        return cls(center, factor, home)

    def at(self, place: slice) -> Self:
        """The same for some of the features only."""
        return type(self)(self.center[:, place], self.factor[:, place], self.home[place])

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


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Which entity each row is of, `who` (n,), one of `count`; `order` (n,) sorts the rows by entity.

    In that order those of the entities `present` (p,) begin at `first` (p,).
    """

    who: Places
    count: int
    order: Places
    present: Places
    first: Places

    @classmethod
    def of(cls, who: Places, count: int) -> Self:
        order = np.argsort(who, kind="stable")
        ordered = who[order]
        first = np.flatnonzero(np.diff(ordered, prepend=-1))
        return cls(who, count, order, ordered[first], first)

    def sums(self, values: Matrix) -> Matrix:
        """Add up (n, d) values by entity -> (count, d)."""
        sums = np.zeros((self.count, values.shape[1]))
        sums[self.present] = np.add.reduceat(values[self.order], self.first, axis=0)
        return sums


def _found(values: Matrix, groups: _Groups) -> tuple[Matrix, Matrix, Vector]:
    """Centre and factor of each entity, (E + 1, k), and the centre of the frame (k,), from values (n, k)."""
    there = ~np.isnan(values)
    unit = np.abs(values).max(axis=0, where=there, initial=0.0)
    unit[unit == 0] = 1.0
    shrunk = values / unit  # within -1..1, so that no sum or square overflows
    middle, spread = shrunk.mean(axis=0, where=there), shrunk.std(axis=0, where=there)
    spread[spread == 0] = 1.0
    own_center, own_spread = _own((shrunk - middle) / spread, there, groups, middle / spread)
    center, factor, home = (own_center * spread + middle) * unit, 1.0 / own_spread, middle * unit
    center[0], factor[0] = home, 1.0
    return center, factor, home


def _own(scaled: Matrix, there: Flags, groups: _Groups, shift: Vector) -> tuple[Matrix, Matrix]:
    """Centre and spread of each entity, (E + 1, d), by rows (n, d) that are scaled as a whole, to a mean of 0.

    `shift` (d,) is what that took from them. The first row means nothing.
    """
    rows = groups.sums(there.astype(np.float64))
    few, told = np.maximum(rows, 1.0), np.maximum(rows / ALIKE, 1e-9)
    mean = groups.sums(np.where(there, scaled, 0.0)) / few
    variance = groups.sums(np.where(there, np.square(scaled - mean[groups.who]), 0.0)) / few
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


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A table of rows (n, d) of the entities `who` (n,), moved into the frame of `scales` a few columns at a time."""

    table: Table
    who: Places
    scales: Scales

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and columns, (n, d)."""
        return self.table.shape

    def __getitem__(self, place: tuple[slice, slice], /) -> Matrix:
        """Some of the columns, (n, k), of all rows."""
        return self.scales.at(place[1]).toward(self.table[place], self.who)
