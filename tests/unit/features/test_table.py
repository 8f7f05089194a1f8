import datetime
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.features.table import finite, read_table
from aestream.inference.table import learn_table

NOISE = np.random.default_rng(0).normal(size=(100, 2))


def test_an_array_keeps_every_column() -> None:
    table = np.column_stack([NOISE, np.arange(100), np.zeros(100)])
    matrix, schema, left_out = learn_table(table)
    assert schema.names == ("feature_0", "feature_1", "feature_2", "feature_3")
    assert not left_out
    assert np.array_equal(matrix, table)


@pytest.mark.parametrize("shape", ["frame", "records"])
def test_frames_and_records_are_inferred(shape: str) -> None:
    frame = pd.DataFrame({"a": NOISE[:, 0], "name": "x", "b": NOISE[:, 1], "on": NOISE[:, 0] > 0})
    table: Any = frame if shape == "frame" else frame.to_dict("records")
    matrix, schema, left_out = learn_table(table)
    assert schema.names == ("a", "b", "on")
    assert [note.name for note in left_out if not note.used] == ["name"]
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


LIBRARIES = [pd.DataFrame, pl.DataFrame, pa.table, pa.RecordBatch.from_pydict]


@pytest.mark.parametrize("make", LIBRARIES, ids=["pandas", "polars", "table", "batch"])
def test_frames_of_any_library_give_the_same(make: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng(0)
    start = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)
    columns = {
        "load": rng.normal(size=100),
        "on": (rng.random(100) < 0.5).tolist(),
        "zone": ["abc"[i] for i in rng.integers(3, size=100)],
        "price": [Decimal(int(i)) / 8 for i in rng.integers(100, size=100)],
        "took": [datetime.timedelta(milliseconds=int(i)) for i in rng.integers(1000, size=100)],
        "at": [start + datetime.timedelta(minutes=i) for i in range(100)],
        "disk": [{"used": int(i), "name": "sda"} for i in rng.integers(100, size=100)],
        "tags": [["a"]] * 100,
    }
    matrix, schema, left_out = learn_table(make(columns))
    assert schema.names[:5] == ("load", "on", "zone", "price", "took")
    assert "disk.used" in schema.names or isinstance(make(columns), pd.DataFrame)
    assert {"at", "tags"} <= {item.name for item in left_out}
    expected = [columns["load"], columns["on"], ["abc".index(zone) for zone in columns["zone"]]]
    expected += [list(map(float, columns["price"])), [took.total_seconds() for took in columns["took"]]]
    np.testing.assert_allclose(matrix[:, :5].T, np.array(expected, float))
    reordered = make(dict(reversed(columns.items())))
    np.testing.assert_array_equal(read_table(reordered, schema), matrix)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(
            {"a": pd.array([1, None, 3] * 40, dtype="Int64"), "b": pd.array([True, False, None] * 40, "boolean")}
        ),
        pd.DataFrame({"a": [1.0, np.nan, 3.0] * 40, "b": [True, False, None] * 40}),
        pd.DataFrame({"a": [1.0, np.nan, 3.0] * 40, "b": [True, False, None] * 40}, index=np.arange(120) * 7 % 120),
        pd.DataFrame({"a": [1, None, 3] * 40, "b": [True, False, None] * 40}).convert_dtypes(dtype_backend="pyarrow"),
        pl.DataFrame({"a": [1, None, 3] * 40, "b": [True, False, None] * 40}),
    ],
    ids=range(5),
)
def test_missing_values_of_every_kind_are_imputed_or_named(frame: Any) -> None:
    matrix, schema, _ = learn_table(frame, missing=["impute"])
    assert schema.names == ("a", "b")  # and nothing of an index
    np.testing.assert_array_equal(matrix[:3], [[1, 1], [np.nan, 0], [3, np.nan]])
    strict = FeatureSchema.of_names(["a"])
    with pytest.raises(DataError, match="record 1: a is missing: drop the record, exclude the feature, or train with"):
        read_table(frame, strict)


def test_a_mixture_that_arrow_refuses_is_judged_value_by_value() -> None:
    frame = pd.DataFrame({"a": [1, "x"] * 50, "b": NOISE[:, 0], "c": [1j] * 100})
    _, schema, left_out = learn_table(frame)
    assert schema.names == ("b",)
    assert [note.name for note in left_out if not note.used] == ["a", "c"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns called 'a'"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), "two columns called 'a'"),
        (pl.Series([1, 2]), "cannot be read through Arrow"),
        (pa.chunked_array([[1, 2]]), "cannot be read through Arrow"),
        (pl.DataFrame({"a": [1] * 99}).lazy(), "not numeric"),
        (pl.DataFrame({"a": ["x"] * 99}), "no field of the records can be a feature"),
        (pl.DataFrame(), "no records"),
        (pd.DataFrame(), "no records"),
    ],
    ids=range(8),
)
def test_a_frame_that_cannot_be_used_is_one_line(table: Any, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=words):
            learn_table(table)
