"""From a table (an array, a DataFrame, a list of records) to a float64 matrix in the schema's order.

A DataFrame is anything with the Arrow interface: pandas, polars, pyarrow and others, none of which is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.types import Matrix

if TYPE_CHECKING:
    import pyarrow as pa


def whole_records(table: Any) -> Sequence[Mapping[str, Any]] | None:
    """The rows of a DataFrame or a list of records, to infer the features from; None for anything else."""
    frame = frame_of(table)
    if frame is None:
        return records_of(table)
    from aestream.features import arrow  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

    return arrow.records_of(frame)


def read_table(table: Any, schema: FeatureSchema) -> Matrix:
    """Read a table's features -> (n, d).

    Raises DataError when a feature is missing or a value is not finite.
    """
    frame = frame_of(table)
    if frame is not None:
        return _of_frame(frame, schema)
    records = records_of(table)
    if records is not None:
        return schema.matrix(records)
    if isinstance(table, Sequence) and not len(table):
        return np.empty((0, len(schema)))
    return finite(array_of(table), schema)


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


def frame_of(table: Any) -> pa.Table | None:
    """A DataFrame of any library as an Arrow table; None for anything else, and for a mixture that Arrow refuses."""
    if not hasattr(table, "__arrow_c_stream__"):
        return None
    import pyarrow as pa  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

    from aestream.features import arrow  # noqa: PLC0415

    pandas = _is_pandas(table)
    if pandas and (twice := arrow.repeated([str(name) for name in table.columns])):
        raise DataError(f"the table has two columns called {twice!r}: rename one")
    try:
        frame = pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        if pandas:
            return None
        raise DataError(f"the table cannot be read through Arrow: {str(error).splitlines()[0]}") from error
    if pandas:
        frame = frame.select(range(len(table.columns)))  # without the index
    if twice := arrow.repeated(frame.column_names):
        raise DataError(f"the table has two columns called {twice!r}: rename one")
    return frame


def _is_pandas(table: Any) -> bool:
    return hasattr(table, "columns") and hasattr(table, "iloc")


def _of_frame(frame: pa.Table, schema: FeatureSchema) -> Matrix:
    """Read the features of a table. Raises DataError for the first row that cannot be used."""
    from aestream.features import arrow  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

    matrix, problems = arrow.matrix_of(frame, schema)
    if problems:
        row = min(problems)
        raise DataError(
            f"record {row}: {problems[row]}: drop the record, exclude the feature, or train with `missing=impute`"
        )
    return matrix


def records_of(table: Any) -> Sequence[Mapping[str, Any]] | None:
    """A list of records, or a DataFrame that Arrow refuses, by row; None for anything else."""
    if _is_pandas(table):  # a mixture of kinds in a column
        return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if isinstance(table, Sequence) and len(table) and isinstance(table[0], Mapping):
        return table
    return None


def array_of(table: Any) -> Matrix:
    """A table of numbers, (n, d). Raises DataError for anything else."""
    try:
        array: Matrix = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the table is not numeric ({error}): give numbers, a DataFrame or a list of records"
        ) from error
    if array.ndim != 2 or not array.shape[1]:  # noqa: PLR2004 - rows and columns
        raise DataError(f"the table has the shape {array.shape}: give rows and columns, (n, features)")
    return array
