"""Every kind of column that Arrow has, as records to infer from and as numbers."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aestream.columns import Column, Kind
from aestream.errors import DataError
from aestream.features.arrow import matrix_of, records_of
from aestream.features.schema import FeatureSchema

NUMBER, FLAG, TIME = Column(imputed=True), Column(Kind.BOOLEAN, imputed=True), Column(Kind.TIMESTAMP, unit="text")
UTC = datetime.UTC
MOMENT = datetime.datetime(2026, 1, 5, 12, 30, 15, 250_000, UTC)
SECONDS = MOMENT.timestamp()


def table(*values: Any, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"x": pa.array([*values, None], kind)})


def read(made: pa.Table, column: Column, name: str = "x") -> tuple[list[float], dict[int, str]]:
    matrix, problems = matrix_of(made, FeatureSchema((name,), (tuple(name.split("/")),), (column,)))
    return matrix[:, 0].tolist(), problems


@pytest.mark.parametrize(
    ("made", "numbers"),
    [
        (table(1, -2, kind=pa.int8()), [1, -2]),
        (table(2**63, kind=pa.uint64()), [2**63]),
        (table(np.float16(1.5), kind=pa.float16()), [1.5]),
        (table(1.5, float("inf"), float("nan"), kind=pa.float32()), [1.5, None, None]),
        (table(Decimal("1234567890.125")), [1234567890.125]),
        (table(Decimal("-0.5"), kind=pa.decimal256(60, 20)), [-0.5]),
        (table(1500, kind=pa.duration("ms")), [1.5]),
        (table(250, kind=pa.duration("ns")), [2.5e-7]),
        (pa.table({"x": pa.array([7, 8, 7, None]).dictionary_encode()}), [7, 8, 7]),
        (table("1.5", " 2 ", "-", "1e3"), [1.5, 2, None, 1000]),
        (table("1.5", kind=pa.large_string()), [1.5]),
        (table("1.5", kind=pa.string_view()), [1.5]),
        (table(b"1.5", kind=pa.binary()), [1.5]),
        (pa.table({"x": pa.array(["1.5", "2", None]).dictionary_encode()}), [1.5, 2]),
        (
            pa.table(
                {"x": pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array(["1.5", "2"], pa.string_view()))}
            ),
            [2, 1.5],
        ),
        (pa.table({"x": pa.nulls(2)}), [None]),
        (pa.table({"x": pa.chunked_array([], pa.dictionary(pa.int8(), pa.string()))}), []),
    ],
    ids=lambda value: str(value.schema.field(0).type) if isinstance(value, pa.Table) else "",
)
def test_numbers_of_every_kind(made: pa.Table, numbers: list[float | None]) -> None:
    wanted = [np.nan if number is None else number for number in [*numbers, None][: len(made)]]
    found, problems = read(made, NUMBER)
    np.testing.assert_array_equal(found, wanted)
    assert problems == {}


@pytest.mark.parametrize(
    "made",
    [
        table(MOMENT, kind=pa.timestamp("ns")),
        table(MOMENT, kind=pa.timestamp("us", "Europe/Berlin")),
        table(MOMENT, kind=pa.timestamp("ms", "UTC")),
        table(MOMENT.isoformat()),
        table("2026-01-05 13:30:15.25+01:00"),
    ],
    ids=lambda made: str(made.schema.field(0).type),
)
@pytest.mark.parametrize("imputed", [True, False])
def test_moments_in_any_unit_and_zone_are_seconds_in_utc(made: pa.Table, imputed: bool) -> None:
    column = Column(Kind.TIMESTAMP, unit="text", imputed=imputed)
    found, problems = read(made, column)
    assert found[0] == SECONDS
    assert problems == ({} if imputed else {1: "x is missing"})
    value = records_of(made)[0]["x"]
    assert value == MOMENT or isinstance(value, str)


def test_quantities_are_read_where_units_were_asked_for() -> None:
    column = Column(quoted=True, unit="s", imputed=True)
    np.testing.assert_array_equal(read(table("12 ms", "3", "-"), column)[0], [0.012, 3, np.nan, np.nan])
    np.testing.assert_array_equal(read(table("12 ms", "1 min"), column)[0], [0.012, 60, np.nan])
    assert read(table(1.5), column)[0][0] == 1.5
    assert read(table("12 ms", "3 GB"), column)[1] == {1: 'x is "3 GB", not a number of seconds'}


def test_moments_serve_a_feature_that_comes_as_a_number_in_json() -> None:
    made = table(MOMENT, kind=pa.timestamp("ns"))
    assert read(made, Column(Kind.TIMESTAMP, unit="ms", imputed=True))[0][0] == SECONDS
    assert read(table(SECONDS * 1e3), Column(Kind.TIMESTAMP, unit="ms", imputed=True))[0][0] == SECONDS
    assert read(table(str(SECONDS)), Column(Kind.TIMESTAMP, unit="s", imputed=True))[0][0] == SECONDS


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (table(datetime.date(2026, 1, 5)), datetime.datetime(2026, 1, 5, tzinfo=UTC)),
        (table(datetime.date(2026, 1, 5), kind=pa.date64()), datetime.datetime(2026, 1, 5, tzinfo=UTC)),
        (table(datetime.time(1, 2, 3)), "01:02:03.000000"),
        (
            table(1_700_000_000_123_456_789, kind=pa.timestamp("ns")),
            datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, UTC),
        ),
        (table(10**15, kind=pa.timestamp("s")), None),
        (table(2, kind=pa.duration("s")), 2.0),
        (table(Decimal("1.5")), 1.5),
        (table(True), True),
        (table(b"abc"), "abc"),
        (table({"a": 1, "b": {"c": "d"}}), {"a": 1.0, "b": {"c": "d"}}),
        (table([1, 2]), []),
        (pa.table({"x": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8()))}), []),
    ],
    ids=lambda value: str(value.schema.field(0).type) if isinstance(value, pa.Table) else "",
)
def test_records_hold_what_a_schema_is_inferred_from(made: pa.Table, value: object) -> None:
    assert [record["x"] for record in records_of(made)] == [value, None]


def test_what_is_of_no_use_has_a_name() -> None:
    odd = {"bytes": table(b"\xff"), "month_day_nano_interval": table(pa.MonthDayNano([1, 2, 3]))}
    for name, made in odd.items():
        first, missing = (record["x"] for record in records_of(made))
        assert type(first).__name__ == name
        assert missing is None
        assert read(made, NUMBER)[1] == {0: f"x is {name}, not a number"}


@pytest.mark.parametrize(
    ("value", "column", "problem"),
    [
        (True, NUMBER, "true/false, not a number"),
        ("abc", NUMBER, '"abc", not a number'),
        ("12.3 ms", NUMBER, '"12.3 ms": `units`=x reads it as seconds'),
        ("a" * 99, NUMBER, f'"{"a" * 40}", not a number'),
        (MOMENT, NUMBER, "a timestamp, not a number"),
        ([1], NUMBER, "a list, not a number"),
        ({"a": 1}, NUMBER, "an object, not a number"),
        (1.5, FLAG, "a number, not true or false"),
        ("maybe", FLAG, '"maybe", not true or false'),
        ("noon", TIME, '"noon", not a timestamp'),
        (1.5, TIME, "a number, not a timestamp"),
        ([1], Column(Kind.CATEGORICAL, ("a",)), "a list, not text"),
        ("-", Column(), '"-"'),
        (float("nan"), Column(), "NaN"),
        (float("-inf"), Column(), "-Infinity"),
    ],
)
def test_what_does_not_fit_is_told_in_words(value: object, column: Column, problem: str) -> None:
    found, problems = read(table(value), column)
    assert np.isnan(found[0])
    assert problems[0] == f"x is {problem}"
    assert problems.get(1) == (None if column.imputed else "x is missing")


def test_categories_are_the_texts_of_json() -> None:
    column = Column(Kind.CATEGORICAL, ("1", "2.5", "true"))
    assert read(pa.table({"x": pa.array([1, 2.5, 3])}), column)[0] == [0, 1, -1]
    assert read(pa.table({"x": pa.array([1, 2])}), column)[0] == [0, -1]
    assert read(pa.table({"x": pa.array([True, False])}), column)[0] == [2, -1]
    assert read(pa.table({"x": pa.array(["true", "1"]).dictionary_encode()}), column)[0] == [2, 0]
    assert read(pa.table({"x": pa.array(["TRUE", "false"])}), FLAG)[0] == [1, 0]


def test_a_path_is_found_nested_or_by_its_dotted_name() -> None:
    nested = pa.Table.from_pylist([{"a": {"b": 1, "c.d": 2}}, {"a": None}])
    flat = pa.table({"a.b": [1.0, None]})
    for name in ("a/b", "a.b"):
        for made in (nested, flat):
            np.testing.assert_array_equal(read(made, NUMBER, name)[0], [1, np.nan])
    assert read(nested, NUMBER, "a/c.d")[0][0] == 2
    assert np.isnan(read(nested, NUMBER, "a/x")[0]).all()
    with pytest.raises(DataError, match="the table lacks a/x, which the model needs; it has a"):
        read(nested, Column(), "a/x")


def test_no_library_of_dataframes_is_imported() -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in {'pandas', 'polars'}: raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import pyarrow as pa, datetime\n"
        "from aestream.inference.table import learn_table\n"
        "t = pa.table({'at': pa.array([10**18 + 7 * i for i in range(99)], pa.timestamp('ns')),"
        " 'x': [float(i % 7) for i in range(99)], 'n': [{'y': i % 5} for i in range(99)]})\n"
        "matrix, schema, left_out = learn_table(t)\n"
        "print(*schema.names, *(note.name for note in left_out if not note.used))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "x n.y at\n", done.stderr
