"""Features that never moved in training: to the network they say nothing, and a move of one is an anomaly by itself.

They are no inputs of the network: a residual that is always 0 has no usual size, and fifty such inputs would dilute the
error of the others. A row has a strength instead, in multiples of the threshold: 0 where nothing has moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Self

import numpy as np

from aestream.columns import Kind
from aestream.detector.deviations import Tolerances
from aestream.errors import DataError
from aestream.features.numeric import CONSTANT_SHARE
from aestream.features.schema import FeatureSchema
from aestream.inference.selection import imputes
from aestream.portions import Table
from aestream.types import Arrays, Matrix, Places, Vector

# The strength of a move by one unit or less. It grows by 1 for each power of ten: 500 units are 4.7. The unit is 1 for
# whole numbers, else the last decimal that the value is written with, but at least the scaler's share of the value.
ONE_UNIT = 2.0
# A difference of less than this share of the value (of 1, if it is 0) and half its last decimal is a rounding error.
ROUNDING = 1e-6
# Moves are cut here, in units: far beyond any meaning, well below any overflow.
FAR = 1e100


@dataclass(frozen=True, slots=True)
class Constants:
    """What c of the d features of a schema always were, and what counts as a move.

    `value`, `unit`, `least`: (c,), in the user's units. A feature has moved if it differs from `value` by more than
    `least`; how far it has moved is measured in `unit`. `tolerances` are those of the c features.
    """

    schema: FeatureSchema
    value: Vector
    unit: Vector
    least: Vector
    tolerances: Tolerances
    places: Places = field(init=False, repr=False)
    others: Places = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Tell the steady features from the others. Raises ValueError when their number is another."""
        steady = self.schema.steady
        object.__setattr__(self, "places", np.flatnonzero(steady))
        object.__setattr__(self, "others", np.flatnonzero(~steady))
        if not len(self.value) == len(self.unit) == len(self.least) == len(self.places):
            raise ValueError("the constants do not fit the feature schema")

    @classmethod
    def fit(
        cls, table: Table, schema: FeatureSchema, tolerances: Tolerances, *, rate: float, missing: Sequence[str]
    ) -> Self:
        """Learn from (n, d) rows what the steady features of a schema always were.

        A feature that moves in these rows is not steady after all: in the schema of the result it is an ordinary one,
        with the policy that `missing` (see `imputes`) has for it.

        Where many features have moved in a single row each, others that never have will do the same, more often than
        in `rate` of the records (Good 1953): then only a move that is larger than theirs counts.

        Raises DataError when a steady feature has no value at all, or when no feature moves.
        """
        columns, usual = list(schema.columns), {}
        for place in np.flatnonzero(schema.steady).tolist():
            name, values = schema.names[place], _column(table, place)
            usual[place] = _usual(values, name)
            if len(_moves(values, usual[place])):
                gaps = imputes(name, missing) or bool(np.isnan(values).any())
                columns[place] = replace(columns[place], steady=False, imputed=gaps)
        schema = replace(schema, columns=tuple(columns))
        places = np.flatnonzero(schema.steady)
        if len(places) == len(schema):
            raise DataError(
                f"none of the {len(schema)} features ever changes in the {table.shape[0]} records: give records in "
                "which some do, or name other features"
            )
        value, unit, least = np.array([usual[place] for place in places.tolist()]).reshape(-1, 3).T
        reach = _reach(table, schema, rate) if len(places) else 0.0
        if reach:
            unit = least = unit * reach
        return cls(schema, value, unit, least, tolerances.at(places))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about them, one sentence each."""
        seldom = np.flatnonzero(self.least >= self.unit)
        if not len(seldom):
            return ()
        name, least = self.schema.names[self.places[seldom[0]]], self.least[seldom[0]]
        told = "several features changed in one record only, so others that never did may as well: a change counts only"
        return (
            f"{told} if it is larger than theirs (of {name}: more than {least:g}); a longer sample tells them apart",
        )

    @property
    def moving(self) -> FeatureSchema:
        """The features that are not steady: those of the network."""
        return self.schema.at(self.others) if len(self.value) else self.schema

    def without(self, matrix: Matrix) -> Matrix:
        """Leave the steady features out, (n, d) -> (n, d - c)."""
        return matrix[:, self.others] if len(self.value) else matrix

    def joined(self, others: Matrix, steady: Matrix | None = None) -> Matrix:
        """Put the other features (n, d - c) and these (n, c), or the constants, in their places -> (n, d)."""
        if not len(self.value):
            return others
        whole = np.empty((len(others), len(self.schema)))
        whole[:, self.others] = others
        whole[:, self.places] = self.value if steady is None else steady
        return whole

    def squares(self, matrix: Matrix) -> Matrix | None:
        """Each constant's part in the square of its row's strength, (n, d) -> (n, c); None where none has moved.

        The strength says how anomalous a row is by its constants alone, in multiples of the threshold. It is that of
        the sum of the moves: the largest one decides, and even 50 equal ones add less than 2.
        """
        moved = self._moved(matrix)
        if not moved.any():
            return None
        own = np.square(_strength(moved))
        together = own.sum(axis=1, keepdims=True)
        part = np.divide(own, together, out=np.zeros_like(own), where=together > 0)
        squares: Matrix = part * np.square(_strength(moved.sum(axis=1)))[:, None]
        return squares

    def _moved(self, matrix: Matrix) -> Matrix:
        """How far the constants of (n, d) rows have moved, (n, c): 0 or from 1, in units; 0 where one is missing."""
        observed = matrix[:, self.places]
        with np.errstate(over="ignore"):
            off = np.abs(observed - self.value)
            counts = (off > self.least) & self.tolerances.counts(observed, self.value)
            return np.where(counts, np.clip(off / self.unit, 1.0, FAR), 0.0)

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        return {"value": self.value, "unit": self.unit, "least": self.least}

    @classmethod
    def from_arrays(cls, arrays: Arrays, schema: FeatureSchema, tolerances: Tolerances) -> Self:
        """Read what `arrays` returned; a model without constants has none. `tolerances` are those of all features.

        Raises KeyError or ValueError when it does not fit the schema.
        """
        places = np.flatnonzero(schema.steady)
        value, unit, least = (arrays[name] if len(places) else np.empty(0) for name in ("value", "unit", "least"))
        return cls(schema, value, unit, least, tolerances.at(places))


def _strength(moves: Vector | Matrix) -> Vector | Matrix:
    return np.where(moves > 0, ONE_UNIT + np.log10(np.maximum(moves, 1.0)), 0.0)


def _reach(table: Table, schema: FeatureSchema, rate: float) -> float:
    """The move, in units, that at most `rate` of (n, d) rows exceed for the first time with a feature.

    0 where any move is as rare as that.
    By the features that move in one row and never again: as many in n as there will be new ones in a record to come.
    A single one proves little, and does not count.
    """
    sizes: list[float] = []
    for place, (column, name) in enumerate(zip(schema.columns, schema.names, strict=True)):
        if column.kind in (Kind.NUMERIC, Kind.BOOLEAN) and not column.steady:
            values = _column(table, place)
            moves = _moves(values, _usual(values, name))
            sizes += moves.tolist() if len(moves) == 1 else []
    expected = 1 + int(rate * table.shape[0])
    return min(max(sorted(sizes)[-1 - expected], 1.0), FAR) if len(sizes) > expected else 0.0


def _column(table: Table, place: int) -> Vector:
    return table[:, place : place + 1].ravel()


def _usual(column: Vector, name: str) -> tuple[float, float, float]:
    """What a column (n,) mostly is, the unit of its moves, and what is still a rounding error.

    Raises DataError when the column has no value.
    """
    present = column[~np.isnan(column)]
    if not len(present):
        raise DataError(f"the feature {name!r} is missing in every record: exclude it")
    value = float(np.median(present))
    step = 1.0  # of a whole number; else the last decimal, if not beyond rounding
    if value != np.floor(value):
        exponent = Decimal(repr(value)).as_tuple().exponent
        step = max(float(f"1e{exponent}"), ROUNDING * abs(value), float(np.finfo(np.float64).tiny))
    return value, max(step, CONSTANT_SHARE * abs(value)), min(step / 2, ROUNDING * max(abs(value), step))


def _moves(column: Vector, usual: tuple[float, float, float]) -> Vector:
    """By how many units the values of a column (n,) differ from the usual one: those that do, in their order."""
    value, unit, least = usual
    with np.errstate(over="ignore"):
        off = np.abs(column - value)
        moves: Vector = off[off > least] / unit
    return moves
