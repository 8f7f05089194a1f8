"""From a table (an array, a DataFrame, a list of records) to a float64 matrix in the schema's order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aestream.columns import Column
from aestream.errors import DataError
from aestream.features.inference import imputes, infer_schema
from aestream.features.schema import FeatureSchema, LeftOut
from aestream.types import Matrix


def learn_table(
    table: Any, *, timestamps: Sequence[str] = (), missing: Sequence[str] = ()
) -> tuple[Matrix, FeatureSchema, list[LeftOut]]:
    """Choose the features of a table -> matrix (n, d), schema, and what was left out.

    An array keeps all its columns, as numbers called `feature_0` and so on; the schema of a DataFrame or of records is
    inferred. `timestamps` and `missing` are those of `infer_schema`.

    Raises DataError when the table has no usable feature or holds values that are not finite.
    """
    records = _records(table)
    if records is None:
        array = _array(table)
        names = [f"feature_{column}" for column in range(array.shape[1])]
        columns = tuple(Column(imputed=imputes(name, missing)) for name in names)
        schema = FeatureSchema(tuple(names), tuple((name,) for name in names), columns)
        return finite(array, schema), schema, []
    schema, left_out = infer_schema(records, timestamps=timestamps, missing=missing)
    return schema.matrix(records), schema, left_out


def read_table(table: Any, schema: FeatureSchema) -> Matrix:
    """Read a table's features -> (n, d).

    Raises DataError when a feature is missing or a value is not finite.
    """
    records = _records(table)
    if records is not None:
        return schema.matrix(records)
    if isinstance(table, Sequence) and not len(table):
        return np.empty((0, len(schema)))
    return finite(_array(table), schema)


def finite(matrix: Matrix, schema: FeatureSchema) -> Matrix:
    """Return the matrix if it has the schema's columns and finite numbers, and NaN only where one may be missing.

    Raises DataError otherwise.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(schema):  # noqa: PLR2004 - rows and columns
        raise DataError(f"the table has the shape {matrix.shape}: give (rows, {len(schema)}), one column per feature")

    bad = ~np.isfinite(matrix)
    if bad.any() and (bad := bad & ~(np.isnan(matrix) & schema.imputed)).any():
        row, column = np.argwhere(bad)[0]
        name = schema.names[column]
        raise DataError(f"row {row}: {name!r} is {matrix[row, column]}, not a finite number: drop or fix the row")
    return matrix


def _records(table: Any) -> Sequence[Mapping[str, Any]] | None:
    if hasattr(table, "to_dict") and hasattr(table, "columns"):  # pandas, without importing it
        return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if isinstance(table, Sequence) and len(table) and isinstance(table[0], Mapping):
        return table
    return None


def _array(table: Any) -> Matrix:
    try:
        array: Matrix = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the table is not numeric ({error}): give numbers, a DataFrame or a list of records"
        ) from error
    if array.ndim != 2 or not array.shape[1]:  # noqa: PLR2004 - rows and columns
        raise DataError(f"the table has the shape {array.shape}: give rows and columns, (n, features)")
    return array
