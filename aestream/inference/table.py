"""The features of a table: an array, a DataFrame, or a list of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aestream.artefact import FieldNote
from aestream.columns import Column
from aestream.features.schema import FeatureSchema
from aestream.features.series import keys_of, names_of, times_of
from aestream.features.table import array_of, read_table, whole_records
from aestream.inference import entities
from aestream.inference.counters import RATE, has_rate, rises_in_all
from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.inference.movement import judge
from aestream.inference.order import Order, filled
from aestream.inference.selection import Selection, imputes
from aestream.types import Matrix, Stamps, Vector


def learn_table(
    table: Any,
    *,
    timestamps: Sequence[str] = (),
    missing: Sequence[str] = (),
    rates: bool = False,
    keys: Any = None,
    times: Any = None,
) -> tuple[Matrix, FeatureSchema, Sequence[FieldNote]]:
    """Choose the features of a table -> matrix (n, d), schema, and what became of each field.

    An array keeps all its columns, as numbers called `feature_0` and so on; the schema of a DataFrame or of records is
    inferred. `timestamps`, `missing` and `rates` are those of a `Selection`; `keys` and `times` say which entity each
    row is of, and when it was recorded (see `features.series`). The columns that they name are no features. Without
    either, nothing says that the rows of an array follow each other, so that all its columns are levels.

    Raises DataError when the table has no usable feature or holds values that are not finite.
    """
    records = whole_records(table)
    if records is None:
        return _learn_array(table, missing, rates=rates, keys=keys, times=times)
    given, seconds = keys_of(table, keys), times_of(table, times)
    named = names_of(table, keys)
    time = times if isinstance(times, str) else None
    selection = Selection(
        timestamps=timestamps,
        missing=missing,
        rates=rates,
        exclude=[*named, *([time] if time else [])],
        key=named,
        time=time,
    )
    beside = [] if named or keys is None else [None if key is None else str(key) for key in given]
    stamps = np.empty(0, np.int64) if time or seconds is None else _stamps(seconds)
    found = infer(Documents(records, beside, stamps), selection)
    schema = found.schema()
    return read_table(table, schema), schema, found.notes


def _learn_array(
    table: Any, missing: Sequence[str], *, rates: bool, keys: Any, times: Any
) -> tuple[Matrix, FeatureSchema, Sequence[FieldNote]]:
    matrix = array_of(table)
    names = tuple(f"feature_{column}" for column in range(matrix.shape[1]))
    columns = [Column(imputed=imputes(name, missing)) for name in names]
    notes = []
    if rates and len(matrix) and not (keys is None and times is None):
        order = Order.of(entities.codes([keys_of(table, keys)]), times_of(table, times))
        for place, name in enumerate(names):
            values = matrix[:, place]
            if has_rate(values, order, judge(values, order)) and rises_in_all(values, order):
                columns[place] = replace(columns[place], rate=True)
                notes.append(FieldNote(name, "rate", RATE, remedy="`window=1`"))
    schema = FeatureSchema(names, tuple((name,) for name in names), tuple(columns))
    return read_table(table, schema), schema, notes


def _stamps(seconds: Vector) -> Stamps:
    """Times (n,) in milliseconds; an unknown one is that of the row before."""
    stamps: Stamps = np.rint(filled(seconds, 0.0) * 1000).astype(np.int64)
    return stamps
