"""From the matrix of features to the network's inputs, and from its outputs back to features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.columns import Kind
from aestream.errors import DataError
from aestream.features.clock import DAY, SHOWN, WEEK, circles
from aestream.features.numeric import NumericScaler
from aestream.features.schema import FeatureSchema
from aestream.portions import Table
from aestream.types import Flags, Floats, Matrix, Places, Vector

# The least spread of an input: where it is nearly constant, its other value is then far away, but not infinitely so.
MIN_SPREAD = 0.1
# The input that marks a missing value weighs a quarter of the value itself: the square of this.
MASK_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class FeatureEncoder:
    """Turns the (n, d) features of a schema into the (n, w) inputs of the network, and back.

    A numeric or a boolean feature has one input; a category has one for each value and one for unseen values; a
    timestamp has sine and cosine of the day and of the week, if the training sample shows these cycles. A feature whose
    missing values are imputed has one more: whether it was missing. All but the numeric inputs are scaled so that those
    of one feature together vary as much as one numeric feature.

    `fill` (d,): what replaces a missing value. `shift`, `spread` (w,): the scaling of the inputs that are not numeric.
    `cycles` (2,): whether day and week are inputs, the same for every timestamp.
    """

    schema: FeatureSchema
    numeric: NumericScaler
    fill: Vector
    shift: Vector
    spread: Vector
    cycles: Vector

    @classmethod
    def fit(cls, table: Table, schema: FeatureSchema) -> Self:
        """Learn from (n, d) rows, NaN where a value is missing.

        Raises DataError when a feature has no value at all, or when the network would have no input.
        """
        if _plain(schema):
            nothing = np.empty(0)
            return cls(schema, NumericScaler.fit(table), nothing, nothing, nothing, np.zeros(2))
        matrix = table[:, :]
        missing = np.isnan(matrix)
        if missing.all(axis=0).any():
            name = schema.names[int(np.argmax(missing.all(axis=0)))]
            raise DataError(f"the feature {name!r} is missing in every record: exclude it")
        fill = _usual(matrix, schema)
        filled = np.where(missing, fill, matrix)
        spans = [np.ptp(filled[:, place]) for place in _places(schema, Kind.TIMESTAMP)]
        cycles = np.array([min(spans, default=0.0) >= SHOWN * length for length in (DAY, WEEK)], float)
        numeric = _places(schema, Kind.NUMERIC)
        # without a numeric feature the scaler still needs a column, which nothing uses
        scaler = NumericScaler.fit(filled[:, numeric] if numeric else np.zeros((1, 1)))
        width = len(_owners(schema, cycles))
        if not width:
            raise DataError(
                f"the timestamp {schema.names[0]!r} is the only feature, and the sample spans less than {SHOWN} days: "
                "give more records or name other features"
            )
        made = cls(schema, scaler, fill, np.zeros(width), np.ones(width), cycles)
        return cls(schema, scaler, fill, *_scales(made._raw(matrix), made), cycles)

    @property
    def width(self) -> int:
        """Return the number of inputs, w."""
        return len(self.schema) if self.plain else len(self.shift)

    @property
    def plain(self) -> bool:
        """Return whether all features are numbers that must be present: the inputs are then the scaled features."""
        return not len(self.fill)

    @property
    def weights(self) -> Vector | None:
        """The factors (w,) for whitened residuals with which all features count equally; None if all factors are 1.

        Whitening gives each input the same spread: without weights, a category with 20 values would count as 21
        features.
        """
        if self.plain:
            return None
        owners, masks = _owners(self.schema, self.cycles), self._masks
        inputs = np.bincount(owners[~masks], minlength=len(self.schema))
        return np.where(masks, MASK_WEIGHT, 1.0 / np.sqrt(np.maximum(inputs[owners], 1)))

    def transform(self, matrix: Matrix) -> Matrix:
        """Turn (n, d) features, NaN where a value is missing, into (n, w) inputs."""
        if self.plain:
            return self.numeric.transform(matrix)
        inputs: Matrix = (self._raw(matrix) - self.shift) / self.spread
        numeric = _places(self.schema, Kind.NUMERIC)
        if numeric:
            filled = np.where(np.isnan(matrix[:, numeric]), self.fill[numeric], matrix[:, numeric])
            inputs[:, self._first[numeric]] = self.numeric.transform(filled)
        return inputs

    def inverse(self, inputs: Matrix, matrix: Matrix) -> Matrix:
        """Turn (n, w) reconstructed inputs into (n, d) features, in the user's units and the range seen in training.

        A category becomes its likeliest value. A timestamp becomes the moment with the reconstructed time of day that
        is nearest to the one in `matrix` (n, d); it stays as it is where it is missing, or where days are not inputs.
        """
        if self.plain:
            return self.numeric.inverse(inputs)
        raw = inputs * self.spread + self.shift
        features = np.array(matrix, dtype=np.float64)
        numeric = _places(self.schema, Kind.NUMERIC)
        if numeric:
            features[:, numeric] = self.numeric.inverse(inputs[:, self._first[numeric]])
        for place, column in enumerate(self.schema.columns):
            first = self._first[place]
            if column.kind is Kind.BOOLEAN:
                features[:, place] = raw[:, first] > 0.5  # noqa: PLR2004 - the middle of 0 and 1
            elif column.kind is Kind.CATEGORICAL:
                features[:, place] = np.argmax(raw[:, first : first + len(column.categories)], axis=1)
            elif column.kind is Kind.TIMESTAMP and self.cycles[0]:
                turn = np.arctan2(raw[:, first], raw[:, first + 1]) / (2 * np.pi) - matrix[:, place] / DAY
                features[:, place] = matrix[:, place] + DAY * (turn - np.round(turn))
        return features

    def correct(self, expected: Matrix, inputs: Matrix | Floats, matrix: Matrix) -> Matrix:
        """Shift numbers in (n, d) by how far their inputs (n, w) are from expected; reconstruct the other features."""
        numeric = _places(self.schema, Kind.NUMERIC)
        corrected = self.inverse(expected, matrix)
        if numeric:
            shift = (expected - inputs)[:, numeric if self.plain else self._first[numeric]] * self.numeric.scale
            there = np.where(np.isnan(matrix[:, numeric]), corrected[:, numeric], matrix[:, numeric] + shift)
            corrected[:, numeric] = there
        return corrected

    def by_feature(self, parts: Matrix) -> Matrix:
        """Add up parts by input (n, w) to parts by feature (n, d)."""
        if self.plain:
            return parts
        owners = _owners(self.schema, self.cycles)
        together: Matrix = parts @ (owners[:, None] == np.arange(len(self.schema))).astype(np.float64)
        return together

    def most_by_feature(self, parts: Matrix) -> Matrix:
        """Take the largest of the parts by input (n, w) of each feature, (n, d)."""
        if self.plain:
            return parts
        most = np.zeros((len(parts), len(self.schema)))
        for place, owner in enumerate(_owners(self.schema, self.cycles).tolist()):
            np.maximum(most[:, owner], parts[:, place], out=most[:, owner])
        return most

    def by_input(self, features: Flags) -> Flags:
        """Repeat flags by feature (n, d) for the inputs of each (n, w)."""
        return features if self.plain else features[:, _owners(self.schema, self.cycles)]

    def arrays(self) -> dict[str, Vector]:
        """Return what `from_arrays` reads."""
        own = {"fill": self.fill, "shift": self.shift, "spread": self.spread, "cycles": self.cycles}
        return {**self.numeric.arrays(), **own}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Vector], schema: FeatureSchema) -> Self:
        """Read what `arrays` returned. Raises KeyError or ValueError when it does not fit the schema."""
        own = [arrays[name] for name in ("fill", "shift", "spread", "cycles")]
        made = cls(schema, NumericScaler.from_arrays(arrays), *own)
        wanted = 0 if _plain(schema) else len(_owners(schema, made.cycles))
        numbers = len(_places(schema, Kind.NUMERIC)) or 1
        if len(made.shift) != wanted or len(made.spread) != wanted or len(made.numeric.center) != numbers:
            raise ValueError("the scaler does not fit the feature schema")
        return made

    @property
    def _first(self) -> Places:
        """The place of each feature's first input, (d,)."""
        return np.cumsum([0, *_widths(self.schema, self.cycles)])[:-1].astype(np.intp)

    @property
    def _masks(self) -> Flags:
        """Which inputs mark a missing value, (w,): the last of each feature that may be missing."""
        masks = np.zeros(self.width, bool)
        last = np.cumsum(_widths(self.schema, self.cycles)) - 1
        masks[last[self.schema.imputed]] = True
        return masks

    def _raw(self, matrix: Matrix) -> Matrix:
        """The inputs before they are scaled, (n, d) -> (n, w); the numeric ones are left at 0."""
        missing = np.isnan(matrix)
        raw = np.zeros((len(matrix), self.width))
        for place, (column, first) in enumerate(zip(self.schema.columns, self._first.tolist(), strict=True)):
            values = np.where(missing[:, place], self.fill[place], matrix[:, place])
            end = first + _values(len(column.categories), column.kind, self.cycles)
            if column.kind is Kind.BOOLEAN:
                raw[:, first] = values
            elif column.kind is Kind.CATEGORICAL:
                unseen = len(column.categories)
                raw[np.arange(len(values)), first + np.where(values < 0, unseen, values).astype(np.intp)] = 1.0
            elif column.kind is Kind.TIMESTAMP:
                raw[:, first:end] = np.where(missing[:, [place]], 0.0, circles(values, self.cycles))
            if column.imputed:
                raw[:, end] = missing[:, place]
        return raw


def _plain(schema: FeatureSchema) -> bool:
    return all(column.kind is Kind.NUMERIC and not column.imputed for column in schema.columns)


def _places(schema: FeatureSchema, kind: Kind) -> list[int]:
    return [place for place, column in enumerate(schema.columns) if column.kind is kind]


def _values(categories: int, kind: Kind, cycles: Vector) -> int:
    """How many inputs hold a feature's value."""
    if kind is Kind.TIMESTAMP:
        return 2 * int(cycles.sum())
    return categories + 1 if kind is Kind.CATEGORICAL else 1


def _widths(schema: FeatureSchema, cycles: Vector) -> list[int]:
    """How many inputs each feature has, including the one that marks a missing value."""
    return [_values(len(column.categories), column.kind, cycles) + column.imputed for column in schema.columns]


def _owners(schema: FeatureSchema, cycles: Vector) -> Places:
    """The feature that each input belongs to, (w,)."""
    return np.repeat(np.arange(len(schema)), _widths(schema, cycles))


def _usual(matrix: Matrix, schema: FeatureSchema) -> Vector:
    """What fills in for each feature, (d,): the median, or the most frequent value of booleans and categories."""
    fill = np.nanmedian(matrix, axis=0)
    for place in (*_places(schema, Kind.BOOLEAN), *_places(schema, Kind.CATEGORICAL)):
        values, counts = np.unique(matrix[~np.isnan(matrix[:, place]), place], return_counts=True)
        fill[place] = values[np.argmax(counts)]
    return fill


def _scales(raw: Matrix, encoder: FeatureEncoder) -> tuple[Vector, Vector]:
    """Centre and divisor of the inputs that are not numeric, (w,) each: the values of a feature share one divisor."""
    mean, variance = raw.mean(axis=0), raw.var(axis=0)
    owners, masks = _owners(encoder.schema, encoder.cycles), encoder._masks  # noqa: SLF001 - its own module
    together = np.bincount(owners[~masks], variance[~masks], minlength=len(encoder.schema))
    spread = np.sqrt(np.where(masks, variance, together[owners]))
    numeric = np.isin(owners, _places(encoder.schema, Kind.NUMERIC)) & ~masks
    shift = np.where(numeric, 0.0, mean)
    return shift, np.where(numeric, 1.0, np.maximum(spread, MIN_SPREAD))
