from typing import Any

import numpy as np
import pandas as pd
import pytest

from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.features.table import finite, learn_table, read_table

NOISE = np.random.default_rng(0).normal(size=(100, 2))


def test_an_array_keeps_every_column() -> None:
    table = np.column_stack([NOISE, np.arange(100), np.zeros(100)])
    matrix, schema, left_out = learn_table(table)
    assert schema.names == ("feature_0", "feature_1", "feature_2", "feature_3")
    assert left_out == []
    assert np.array_equal(matrix, table)


@pytest.mark.parametrize("shape", ["frame", "records"])
def test_frames_and_records_are_inferred(shape: str) -> None:
    frame = pd.DataFrame({"a": NOISE[:, 0], "name": "x", "b": NOISE[:, 1], "on": NOISE[:, 0] > 0})
    table: Any = frame if shape == "frame" else frame.to_dict("records")
    matrix, schema, left_out = learn_table(table)
    assert schema.names == ("a", "b", "on")
    assert [item.name for item in left_out] == ["name"]
    assert np.array_equal(matrix, np.column_stack([NOISE, NOISE[:, 0] > 0]))
    assert np.array_equal(read_table(frame[["on", "b", "a"]], schema), matrix)  # by name, whatever the order


def test_lists_and_float32_arrays_are_read() -> None:
    schema = FeatureSchema.of_names(["a", "b"])
    assert read_table([[1, 2], [3, 4]], schema).dtype == np.float64
    assert read_table(np.ones((2, 2), dtype=np.float32), schema).tolist() == [[1, 1], [1, 1]]
    assert read_table([], schema).shape == (0, 2)


def test_what_is_not_finite_is_named() -> None:
    table = NOISE.copy()
    table[7, 1] = np.nan
    with pytest.raises(DataError, match="row 7: 'feature_1' is nan"):
        learn_table(table)
    table[7, 1] = np.inf
    with pytest.raises(DataError, match="row 7: 'b' is inf"):
        finite(table, FeatureSchema.of_names(["a", "b"]))


def test_an_array_may_have_gaps_where_they_are_imputed() -> None:
    table = NOISE.copy()
    table[7, 1] = np.nan
    matrix, schema, _ = learn_table(table, missing=["impute"])
    assert np.array_equal(matrix, table, equal_nan=True)
    assert schema.imputed.all()
    with pytest.raises(DataError, match="row 7: 'feature_1' is nan"):
        learn_table(table, missing=["feature_0=impute"])
    table[7, 1] = np.inf
    with pytest.raises(DataError, match="row 7: 'feature_1' is inf"):
        learn_table(table, missing=["impute"])


@pytest.mark.parametrize("table", [np.zeros(5), np.zeros((5, 0)), np.zeros((2, 2, 2)), [["a", "b"]], [[1], [1, 2]], 7])
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(DataError):
        learn_table(table)


def test_the_wrong_number_of_columns_is_refused() -> None:
    with pytest.raises(DataError, match=r"give \(rows, 3\)"):
        read_table(NOISE, FeatureSchema.of_names(["a", "b", "c"]))
