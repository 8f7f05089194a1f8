import json
import math
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aestream.columns import Column, Kind
from aestream.errors import DataError, ModelError
from aestream.features.schema import FeatureSchema


def test_the_hash_tells_schemas_apart() -> None:
    schema = FeatureSchema(("a.b", "c"), (("a", "b"), ("c",)))
    assert FeatureSchema.from_dict(schema.to_dict()) == schema
    assert len(schema.hash) == 64
    others = [
        FeatureSchema(("c", "a.b"), (("c",), ("a", "b"))),
        FeatureSchema(("a.b", "c"), (("a.b",), ("c",))),
        FeatureSchema.of_names(["a", "c"]),
        FeatureSchema(schema.names, schema.paths, (Column(), Column(imputed=True))),
        FeatureSchema(schema.names, schema.paths, (Column(), Column(Kind.CATEGORICAL, ("x", "y")))),
        FeatureSchema(schema.names, schema.paths, (Column(), Column(Kind.CATEGORICAL, ("y", "x")))),
        FeatureSchema(schema.names, schema.paths, (Column(), Column(Kind.TIMESTAMP, unit="s"))),
        FeatureSchema(schema.names, schema.paths, (Column(), Column(Kind.TIMESTAMP, unit="text"))),
    ]
    assert len({schema.hash, *(other.hash for other in others)}) == 9
    for other in others:
        assert FeatureSchema.from_dict(json.loads(json.dumps(other.to_dict()))) == other


GOOD = {"names": ["a"], "paths": [["a"]], "columns": [{"kind": "numeric", "missing": "impute"}]}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"names": ["a"]},
        {**GOOD, "paths": []},
        {**GOOD, "names": 3, "paths": 4},
        {**GOOD, "columns": []},
        {**GOOD, "columns": [{"kind": "colour", "missing": "impute"}]},
        {**GOOD, "columns": [{"kind": "numeric", "missing": "guess"}]},
        {**GOOD, "columns": [{"kind": "categorical", "missing": "impute"}]},
        {**GOOD, "columns": [{"kind": "timestamp", "missing": "impute", "unit": "days"}]},
    ],
)
def test_a_damaged_schema_is_a_model_error(data: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="feature schema"):
        FeatureSchema.from_dict(data)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "null"),
        ("seven", "text"),
        ("N/A", "'N/A', which stands for a missing value"),
        ("7 ms", r"text with a unit \(ms\), not a finite number: `units`=y reads it as seconds"),
        (True, "true/false"),
        (10**400, "too large"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_a_record_that_does_not_fit_is_named(value: Any, what: str) -> None:
    schema = FeatureSchema.of_names(["x", "y"])
    with pytest.raises(DataError, match=f"record 1: feature 'y' is .*{what}"):
        schema.matrix([{"x": 1, "y": 2}, {"x": 1, "y": value}])
    with pytest.raises(DataError, match="record 0: feature 'y' is missing"):
        schema.matrix([{"x": 1}])


def test_numpy_numbers_are_numbers() -> None:
    assert FeatureSchema.of_names(["x"]).matrix([{"x": np.int64(3)}, {"x": np.float32(0.5)}]).tolist() == [[3.0], [0.5]]


MIXED = FeatureSchema(
    ("load", "ok", "region", "at", "sent"),
    (("load",), ("ok",), ("region",), ("at",), ("sent",)),
    (
        Column(imputed=True),
        Column(Kind.BOOLEAN, imputed=True),
        Column(Kind.CATEGORICAL, ("eu", "us"), imputed=True),
        Column(Kind.TIMESTAMP, unit="text", imputed=True),
        Column(Kind.TIMESTAMP, unit="ms"),
    ),
)


def test_every_kind_becomes_a_number_and_comes_back() -> None:
    first = {"load": 1, "ok": True, "region": "us", "at": "2026-01-05T12:00:00+01:00", "sent": 1_700_000_000_000}
    second = {"ok": False, "region": "mars", "at": "2026-01-05 11:00", "sent": 0}
    third = {"load": None, "ok": None, "region": None, "at": None, "sent": 1.5}
    matrix = MIXED.matrix([first, second, third])
    assert matrix[0].tolist() == [1, 1, 1, 1767610800, 1_700_000_000]
    np.testing.assert_array_equal(matrix[1], [np.nan, 0, -1, 1767610800, 0])
    assert np.isnan(matrix[2]).tolist() == [True] * 4 + [False]
    assert np.argwhere(MIXED.unseen(matrix)).tolist() == [[1, 2]]
    assert MIXED.show(matrix) == [
        [1.0, True, "us", "2026-01-05T11:00:00Z", "2023-11-14T22:13:20Z"],
        [None, False, "(unseen)", "2026-01-05T11:00:00Z", "1970-01-01T00:00:00Z"],
        [None, None, None, None, "1970-01-01T00:00:00.001500Z"],
    ]


def test_what_numpy_and_pandas_hold_is_read_too() -> None:
    row = {
        "load": np.float32(0.5),
        "ok": np.bool_(True),
        "region": np.str_("eu"),
        "at": pd.Timestamp("2026-01-05T11:00:00Z"),
        "sent": np.int64(5000),
    }
    gaps = {"load": float("nan"), "ok": pd.NA, "region": None, "at": pd.NaT, "sent": 1}
    naive = {**row, "at": datetime(2026, 1, 5, 11)}  # noqa: DTZ001 - as a CSV file's are
    matrix = MIXED.matrix([row, gaps, naive])
    assert matrix[0].tolist() == matrix[2].tolist() == [0.5, 1, 0, 1767610800, 5]
    assert np.isnan(matrix[1, :4]).all()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("load", "seven", "text, not a finite number"),
        ("ok", 1, "a number, not true or false"),
        ("region", 4, "a number, not text"),
        ("at", "yesterday", "text, not a timestamp"),
        ("sent", "2026-01-05", "text, not a timestamp"),
        ("sent", None, "null"),
    ],
)
def test_a_value_of_another_kind_is_refused(name: str, value: Any, what: str) -> None:
    good = {"load": 1, "ok": True, "region": "us", "at": "2026-01-05", "sent": 1}
    with pytest.raises(DataError, match=f"record 1: feature '{name}' is {what}"):
        MIXED.matrix([good, {**good, name: value}])
