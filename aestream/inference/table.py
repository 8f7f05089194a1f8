"""The features of a table: an array, a DataFrame, or a list of records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aestream.artefact import FieldNote
from aestream.columns import Column
from aestream.features.schema import FeatureSchema
from aestream.features.table import array_of, read_table, whole_records
from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.inference.selection import Selection, imputes
from aestream.types import Matrix


def learn_table(
    table: Any, *, timestamps: Sequence[str] = (), missing: Sequence[str] = ()
) -> tuple[Matrix, FeatureSchema, Sequence[FieldNote]]:
    """Choose the features of a table -> matrix (n, d), schema, and what became of each field.

    An array keeps all its columns, as numbers called `feature_0` and so on; the schema of a DataFrame or of records is
    inferred. `timestamps` and `missing` are those of a `Selection`.

    Raises DataError when the table has no usable feature or holds values that are not finite.
    """
    records = whole_records(table)
    if records is None:
        names = tuple(f"feature_{column}" for column in range(array_of(table).shape[1]))
        columns = tuple(Column(imputed=imputes(name, missing)) for name in names)
        schema = FeatureSchema(names, tuple((name,) for name in names), columns)
        return read_table(table, schema), schema, ()
    found = infer(Documents(records), Selection(timestamps=timestamps, missing=missing))
    schema = found.schema()
    return read_table(table, schema), schema, found.notes
