import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aestream.errors import DataError
from aestream.features.series import keys_in, keys_of, names_of, times_of, unit_of

COLUMNS = {
    "load": [0.5, 1.5, 2.5],
    "host": ["a", "b", "a"],
    "unit": [1, 2, 1],
    "at": ["2026-01-05T00:00:00Z", "2026-01-05T00:01:00Z", "2026-01-05T00:02:00+00:00"],
}
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
TABLES = [pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS), RECORDS]
ARRAY = np.zeros((3, 2))
START = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)
EPOCH = START.timestamp()
EACH = [START + datetime.timedelta(minutes=minute) for minute in range(3)]
SECONDS = [EPOCH, EPOCH + 60, EPOCH + 120]


def read(times: Any) -> list[float]:
    found = times_of(ARRAY, times)
    assert found is not None
    return list(found)


@pytest.mark.parametrize("table", TABLES, ids=["pandas", "polars", "arrow", "records"])
def test_columns_are_named(table: Any) -> None:
    assert keys_of(table, "host") == keys_of(table, ["host"]) == ["a", "b", "a"]
    assert keys_of(table, "unit") == ["1", "2", "1"]
    assert keys_of(table, ["host", "unit"]) == keys_of(table, ("host", "unit")) == [("a", "1"), ("b", "2"), ("a", "1")]
    found = times_of(table, "at")
    assert found is not None
    assert found.tolist() == SECONDS
    assert names_of(table, ["host", "unit"]) == ("host", "unit")
    assert names_of(table, ["a", "b", "a"]) == names_of(table, [1, 2, 3]) == names_of(table, None) == ()
    with pytest.raises(DataError, match="`keys` names 'hots', and the table has no such column"):
        keys_of(table, "hots")
    with pytest.raises(DataError, match="`times` names 'when', and the table has no such column"):
        times_of(table, "when")


@pytest.mark.parametrize("table", TABLES, ids=["pandas", "polars", "arrow", "records"])
def test_the_name_that_is_no_column_is_told(table: Any) -> None:
    with pytest.raises(DataError, match="`keys` names 'hots', and the table has no such column"):
        keys_of(table, ["unit", "hots"])
    assert keys_in(table, ["unit"]) == ["1", "2", "1"]
    with pytest.raises(DataError, match="`keys` names 'rack', and the table has no such column"):
        keys_in(table, ["rack", "row"])


def test_a_nested_field_is_named_with_dots() -> None:
    records = [{"host": {"name": "a"}, "a.b": 1}, {"host": {"name": "b"}}, {"a.b": 2}]
    assert keys_of(records, "host.name") == ["a", "b", None]
    assert keys_of(records, "a.b") == ["1", None, "2"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a", "b", None], ["a", "b", None]),
        (("a", "b", "a"), ["a", "b", "a"]),
        ([b"a", b"b", b"a"], [b"a", b"b", b"a"]),
        (np.array([1, 2, 1], np.uint8), ["1", "2", "1"]),
        (np.array(["a", "b", "a"]), ["a", "b", "a"]),
        (pd.Series(["a", "b", "a"], index=[7, 8, 9]), ["a", "b", "a"]),
        (pd.Series([1.0, np.nan, 2.0]), ["1", None, "2"]),
        (pd.Series([1, None, 2], dtype="Int64"), ["1", None, "2"]),
        (pd.Categorical(["a", "b", "a"]), ["a", "b", "a"]),
        (pl.Series(["a", "b", "a"]), ["a", "b", "a"]),
        (pa.array(["a", "b", None]), ["a", "b", None]),
        ([("a", 1), ("b", 2), ("a", 1)], [("a", "1"), ("b", "2"), ("a", "1")]),
        (np.array([[1, 2], [3, 4], [1, 2]]), [("1", "2"), ("3", "4"), ("1", "2")]),
        (pd.DataFrame({"x": ["a", "b", "a"], "y": [1, 2, 1]}), [("a", "1"), ("b", "2"), ("a", "1")]),
        (["7", 7, True], ["7", "7", "true"]),
        (None, [None, None, None]),
    ],
    ids=range(16),
)
def test_keys_of_any_library_are_equal(keys: Any, expected: list[Any]) -> None:
    found = keys_of(ARRAY, keys)
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    "times",
    [
        SECONDS,
        np.array(SECONDS),
        [1000 * time for time in SECONDS],
        np.array([int(time) * 10**9 for time in SECONDS]),
        EACH,
        [time.replace(tzinfo=None) for time in EACH],
        [time.isoformat() for time in EACH],
        np.array([time.replace(tzinfo=None) for time in EACH], "datetime64[ns]"),
        [np.datetime64(time.replace(tzinfo=None)) for time in EACH],
        pd.Series(EACH),
        pd.DatetimeIndex(EACH),
        pd.DatetimeIndex(EACH).tz_convert("Europe/Berlin"),
        pd.Series(EACH).dt.tz_localize(None),
        pl.Series(EACH),
        pa.array(EACH, pa.timestamp("ms", "UTC")),
    ],
    ids=range(15),
)
def test_times_of_any_kind_are_seconds(times: Any) -> None:
    assert read(times) == pytest.approx(SECONDS)


def test_times_may_be_unknown_or_count_from_any_start() -> None:
    assert times_of(ARRAY, None) is None
    nan = float("nan")
    assert read([0, None, 5]) == pytest.approx([0, nan, 5], nan_ok=True)
    assert read([EACH[0], None, pd.NaT]) == pytest.approx([EPOCH, nan, nan], nan_ok=True)
    assert read(["2026-01-05", "", "2026-01-05T00:00:01Z"]) == pytest.approx([EPOCH, nan, EPOCH + 1], nan_ok=True)
    assert read(np.array(["2026-01-05", "NaT", "NaT"], "M8[s]")) == pytest.approx([EPOCH, nan, nan], nan_ok=True)
    # one wrong time among milliseconds does not make all of them seconds
    assert read([0, 1000 * EPOCH, 1000 * EPOCH]) == pytest.approx([0, EPOCH, EPOCH])


def test_what_a_number_means_does_not_depend_on_those_beside_it() -> None:
    unit = unit_of(ARRAY, [1000 * moment for moment in SECONDS])
    assert unit == 1000
    mixed = [1000 * EPOCH, 1e6 * EPOCH, 5000]  # one in microseconds, and a clock that started at 0
    together = times_of(ARRAY, mixed, unit)
    assert together is not None
    assert together.tolist() == [EPOCH, EPOCH, 5.0]
    alone = [times_of([[0]], [number], unit) for number in mixed]
    assert np.concatenate([time for time in alone if time is not None]).tolist() == together.tolist()


def test_numbers_that_are_not_since_1970_stay_as_they_are() -> None:
    unit = unit_of(ARRAY, [0, 1, 2])
    found = times_of(ARRAY, [1, 2, 1e12], unit)
    assert found is not None
    assert found.tolist() == [1, 2, 1e12]
    assert unit_of(ARRAY, None) == unit_of(ARRAY, EACH) == 1.0


def test_a_day_is_a_time_too() -> None:
    days = [datetime.date(2026, 1, 5)] * 3
    assert read(days) == pytest.approx([EPOCH] * 3)
    assert read(pa.array(days)) == pytest.approx([EPOCH] * 3)


@pytest.mark.parametrize(
    ("words", "table", "keys", "times"),
    [
        ("there are 2 keys for 3 rows: give one for each row", ARRAY, ["a", "b"], None),
        ("there are 2 times for 3 rows: give one for each row", ARRAY, None, [1, 2]),
        ("`keys` names 'host', and the table has no such column", ARRAY, "host", None),
        ("times: row 1 is text, not a timestamp: give seconds", ARRAY, None, ["2026-01-05", "noon", "2026-01-05"]),
        ("times: row 1 is a number, and others are text: give seconds", ARRAY, None, ["2026-01-05", 7, "2026-01-05"]),
        ("times: row 0 is a list, not a timestamp", ARRAY, None, [[1], [2], [3]]),
        ("keys: a key is dict: give text, bytes or whole numbers", ARRAY, [{}, {}, {}], None),
        ("the table has no rows", 7, "host", None),
        ("int is not a sequence: give a value for each row", ARRAY, 5, None),
        ("int is not a sequence: give a value for each row", ARRAY, None, 5),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, table: Any, keys: Any, times: Any) -> None:
    with pytest.raises(DataError, match=words):
        (keys_of(table, keys), times_of(table, times))
