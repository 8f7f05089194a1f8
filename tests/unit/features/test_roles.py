"""The keys, times and labels that stand beside the features, in tables and in records of JSON."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aestream.errors import DataError
from aestream.features.roles import Roles

NOON = 1_700_000_000


@pytest.mark.parametrize(
    "times",
    [
        [NOON, NOON + 60],
        [NOON * 1000, NOON * 1000 + 60_000],
        ["2023-11-14T22:13:20Z", "2023-11-14 22:14:20"],
        [str(NOON), str(NOON + 60)],
        pa.array([NOON * 10**9, (NOON + 60) * 10**9], pa.timestamp("ns")),
        [datetime.datetime.fromtimestamp(NOON + i, datetime.UTC) for i in (0, 60)],
    ],
)
def test_times_of_any_kind_are_seconds(times: Any) -> None:
    found = Roles(time="at").of_table(pa.table({"at": times})).times
    assert found is not None
    assert found.tolist() == [NOON, NOON + 60]


def test_a_time_that_cannot_be_read_is_not_known_and_does_not_cost_the_others() -> None:
    found = Roles(time="at").of_columns({"at": ["2023-11-14T22:13:20", "soon", None, "2023-11-14T22:14:20"]})
    assert found.times is not None
    np.testing.assert_array_equal(found.times, [NOON, np.nan, np.nan, NOON + 60])
    with pytest.raises(DataError, match=r"'at' is named in `time`, but holds 'x'"):
        Roles(time="at").of_columns({"at": ["x", "y"]})
    found = Roles(time="at").of_columns({"at": ["0", "soon", "60"]})  # since whenever
    assert found.times is not None
    np.testing.assert_array_equal(found.times, [0, np.nan, 60])


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (["web-1", None], ["web-1", None]),
        ([7, 2**60 + 1], ["7", str(2**60 + 1)]),
        ([7.0, None], ["7", None]),
        ([True, False], ["true", "false"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ],
)
def test_keys_are_texts_as_they_are_in_json(values: Any, keys: list[str | None]) -> None:
    assert Roles(key=["id"]).of_table(pa.table({"id": values})).keys == keys


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (["web-1", "", None], ["web-1", "", None]),
        ([7, 2**70, -1], ["7", str(2**70), "-1"]),
        ([7.0, -0.0, 1e300, 3], ["7.0", "-0.0", "1e+300", "3"]),
        (["a", True, False, 1, 0.5, None], ["a", "true", "false", "1", "0.5", None]),
        ([], []),
    ],
)
def test_keys_of_json_are_texts_as_they_are_there(values: list[Any], keys: list[str | None]) -> None:
    assert Roles(key=["id"]).of_columns({"id": values}).keys == keys


@pytest.mark.parametrize(
    "values",
    [
        [NOON, NOON + 60, None],
        [NOON * 1000, str(NOON * 1000 + 60_000), True],
        [float(NOON), "2023-11-14T22:14:20+00:00", "soon"],
        [str(NOON), "2023-11-14 22:14:20", False],
    ],
)
def test_times_of_json_are_seconds_whatever_they_are_there(values: list[Any]) -> None:
    found = Roles(time="at").of_columns({"at": values}).times
    assert found is not None
    np.testing.assert_array_equal(found, [NOON, NOON + 60, np.nan])


def test_several_fields_make_a_key_wherever_they_are() -> None:
    table = pa.table({"tags": [{"host": "a"}, {"host": "b"}], "disk": [1, 2]})
    assert Roles(key=["tags.host", "disk"]).of_table(table).keys == [("a", "1"), ("b", "2")]
    columns: dict[str, list[Any]] = {"tags.host": ["a", "b"], "disk": [1, None]}
    assert Roles(key=["tags.host", "disk"]).of_columns(columns).keys == [("a", "1"), ("b", None)]


def test_a_table_without_the_field_is_refused() -> None:
    with pytest.raises(DataError, match="lacks host, which `key` names; it has id"):
        Roles(key=["host"]).of_table(pa.table({"id": [1]}))


def test_labels_are_numbers_or_flags() -> None:
    values = ["0", "1", "0.0", "true", "False", "N/A", None, 0, 1, -0.0, 0.5, True, False]
    labels = Roles(label="bad").of_columns({"bad": values}).labels
    assert labels is not None
    assert np.flatnonzero(labels).tolist() == [1, 3, 8, 10, 11]
    with pytest.raises(DataError, match="the label 'bad' holds 'attack'"):
        Roles(label="bad").of_columns({"bad": ["attack"]})


def test_what_is_not_asked_for_is_not_there() -> None:
    found = Roles(key=["host"]).of_columns({"host": ["a", "b"]})
    assert (found.times, found.labels) == (None, None)
    assert found.at(np.array([1])).keys == ["b"]
    assert Roles(("a",), "b", "a").names == ["a", "b"]
