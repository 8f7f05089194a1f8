"""CSV files as people have them: what is read as what, and what a bad cell, row or header costs."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aestream.columns import Column, Kind
from aestream.errors import DataError
from aestream.features.arrow import matrix_of
from aestream.features.schema import FeatureSchema
from aestream.files import csv, source
from aestream.files.formats import read_tables
from tests.unit.files import documents, numbers, problems, write

ROWS = np.random.default_rng(0).normal(50, 20, (300, 3)).round(3)
HEAD = ("cpu", "mem", "io")


def text(mark: str = ",", shown: Any = str, head: tuple[str, ...] = HEAD, end: str = "\n") -> str:
    return end.join(mark.join(row) for row in [head, *(map(shown, row) for row in ROWS.tolist())]) + end


def decimal_comma(number: float) -> str:
    return str(number).replace(".", ",")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", text()),
        ("a.csv", text(";")),
        ("a.tsv", text("\t")),
        ("a.csv", text("|")),
        ("a.csv", text(";", decimal_comma)),
        ("a.csv", text("\t", decimal_comma)),
        ("a.csv", "sep=;\r\n" + text(";", decimal_comma, end="\r\n")),
        ("a.csv", "\ufeff" + text()),
        ("a.csv", text(end="\r")),
        ("a.csv", "\n\n" + text(end="\n\n")),
        ("a.csv", text(shown='"{}"'.format)),
        ("a.csv", text(shown=" {} ".format, head=(" cpu", " mem ", '"io"'))),
        ("a.csv", text(shown="{:e}".format)),
        ("a.csv", text().encode("utf-16")),
        ("a.csv", text().encode("utf-16-be")),
        ("a.csv", gzip.compress(text().encode())),
        ("a.csv.gz", gzip.compress(text().encode())),
    ],
)
def test_the_same_numbers_however_they_are_written(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = write(tmp_path / name, content)
    assert np.allclose(numbers(path, *HEAD), ROWS)
    assert np.allclose([list(record.values()) for record in documents(path)], ROWS)


@pytest.mark.parametrize("shown", ["{:,.2f}", "{:,.0f}", "{:_.2f}", "{:_.0f}"])
@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f", "'", ","])
def test_groups_of_thousands(tmp_path: Path, shown: str, space: str) -> None:
    values = (ROWS * 1e4).round(2 if ".2" in shown else 0)
    cells = [[f'"{shown.format(value)}"'.replace(",", "_").replace("_", space) for value in row] for row in values]
    path = write(tmp_path / "a.csv", "\n".join([",".join(HEAD), *map(",".join, cells)]))
    assert np.allclose(numbers(path, *HEAD), values)


def test_points_may_group_where_commas_are_decimal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a;b;c\n1.234,5;1.234;0,25\n12;12.500;1,5\n1.234.567;3;2\n")
    assert numbers(path, "a", "b", "c") == [[1234.5, 1234, 0.25], [12, 12500, 1.5], [1234567, 3, 2]]


def test_points_are_decimal_between_semicolons_unless_a_comma_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a;b\n52.125;1.034\n48.001;1.001\n")
    assert numbers(path, "a", "b") == [[52.125, 1.034], [48.001, 1.001]]


@pytest.mark.parametrize(
    ("mark", "says", "value"),
    [(";", "52,125 is read as 52.125", 52.125), (",", "is read as 52125", 52125), ("|", "is not read", None)],
)
def test_a_comma_that_may_be_either_is_a_guess_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mark: str, says: str, value: float | None
) -> None:
    path = write(tmp_path / "a.csv", f'a{mark}b\n"52,125"{mark}1\n"48,001"{mark}2\n')
    assert documents(path)[0]["a"] == ("52,125" if value is None else value)
    (message,) = caplog.messages
    assert str(path) in message
    assert says in message
    documents(path)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("row", [0, 7, 250])
@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("-", 'mem is "-"'),
        ("N/A", 'mem is "N/A"'),
        ("NaN", "mem is"),
        ("", "mem is missing"),
        ("abc", 'mem is "abc", not a number'),
        ("12.3 ms", 'mem is "12.3 ms": `units`=mem reads it as seconds'),
        ("inf", "mem is"),
        ("1e999", "mem is"),
        ('"', "mem is missing"),
    ],
)
def test_a_bad_cell_costs_a_row_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: int, cell: str, problem: str
) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", 1000)
    lines = text().splitlines()
    lines[row + 1] = lines[row + 1].split(",")[0] + f",{cell},1"
    path = write(tmp_path / "a.csv", "\n".join(lines))
    ((place, told),) = problems(path, *HEAD)
    assert place == row
    assert told.startswith(problem)
    good = np.arange(len(ROWS)) != row
    assert np.allclose(np.array(numbers(path, *HEAD))[good], ROWS[good])


def test_rows_of_another_length_cost_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", 1000)
    lines = text().splitlines()
    lines[3], lines[200], lines[300] = "1,2", "1,2,3,4", "total"
    path = write(tmp_path / "a.csv", "\n".join(lines))
    assert problems(path, *HEAD) == [
        (2, "the row has 2 cells, but the header has 3"),
        (199, "the row has 4 cells, but the header has 3"),
        (299, "the row has 1 cell, but the header has 3"),
    ]
    assert len(documents(path)) == len(ROWS) - 3
    assert len(numbers(path, *HEAD)) == len(ROWS)


def test_a_quote_that_is_not_closed_costs_no_other_row(tmp_path: Path) -> None:
    rows = [
        ["a", "b", "note"],
        ["1", "2", '"two\nlines, no more"'],
        ["3", '"4', "x"],
        ["9", "9", "z"],
        ["5", "6", '5" disk'],
        ["7", "8", "y"],
    ]
    path = write(tmp_path / "a.csv", "\n".join(map(",".join, rows)) + "\n")
    assert numbers(path, "a", "b") == [[1, 2], [3, 4], [9, 9], [5, 6], [7, 8]]
    assert documents(path)[0]["note"] == "two\nlines, no more"


def test_cells_of_several_lines_may_fall_between_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", 100)
    rows = [f'{i},"first\nsecond, ""{i}""\n"' for i in range(100)]
    path = write(tmp_path / "a.csv", "\n".join(["n,note", *rows]))
    assert [(record["n"], record["note"]) for record in documents(path)] == [
        (i, f'first\nsecond, "{i}"\n') for i in range(100)
    ]


def test_values_that_stand_for_nothing_are_missing_in_columns_of_numbers_and_flags_only(tmp_path: Path) -> None:
    lines = ["n,on,zone", *["1.5,True,NA", "-,false,none", "N/A,TRUE,-", ",null,", "NaN,FALSE,a"] * 3, ""]
    path = write(tmp_path / "a.csv", "\n".join(lines))
    assert documents(path)[:5] == [
        {"n": 1.5, "on": True, "zone": "NA"},
        {"n": None, "on": False, "zone": "none"},
        {"n": None, "on": True, "zone": "-"},
        {"n": None, "on": None, "zone": None},
        {"n": None, "on": False, "zone": "a"},
    ]
    columns = (Column(imputed=True), Column(Kind.BOOLEAN, imputed=True), Column(Kind.CATEGORICAL, ("-", "NA", "none")))
    schema = FeatureSchema(("n", "on", "zone"), (("n",), ("on",), ("zone",)), columns)
    ((table, _),) = read_tables(path, schema)
    matrix, wrong = matrix_of(table, schema)
    np.testing.assert_array_equal(
        matrix[:5], [[1.5, 1, 1], [np.nan, 0, 2], [np.nan, 1, 0], [np.nan, np.nan, np.nan], [np.nan, 0, -1]]
    )
    assert wrong == dict.fromkeys((3, 8, 13), "zone is missing")


def test_a_mixture_shows_numbers_where_most_are_numbers_and_text_where_most_are_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,1\n2,x\n3,1e\nx,2f\n")
    assert [record["a"] for record in documents(path)] == [1, 2, 3, "x"]
    assert [record["b"] for record in documents(path)] == ["1", "x", "1e", "2f"]


def test_a_column_of_texts_that_are_numbers_stays_one_of_categories(tmp_path: Path) -> None:
    schema = FeatureSchema(("zone",), (("zone",),), (Column(Kind.CATEGORICAL, ("1", "2")),))
    ((table, _),) = read_tables(write(tmp_path / "a.csv", "zone\n2\n1\n3\n"), schema)
    assert matrix_of(table, schema)[0].tolist() == [[1], [0], [-1]]


def test_headers_with_commas_quotes_and_line_breaks_or_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"a, b","two\nlines","x""y",\n1,2,3,4\n')
    assert documents(path) == [{"a, b": 1, "two lines": 2, 'x"y': 3, "column_4": 4}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("1.5,2.5\n3,4\n", "has no header, its first line is 1.5,2.5: add a line"),
        ("2026-01-05 10:00,2.5\n2026-01-05 10:01,4\n", "has no header"),
        ("a,b,a\n1,2,3\n", "has two columns called 'a'"),
        (b"\0" * 5000, "holds no text"),
        (b"PK\x03\x04...", "a ZIP archive or a spreadsheet"),
        (gzip.compress(text().encode())[:-100], "cannot be read: Truncated"),
        ("a,b\n" + "1" * 3000, "has a line of more than"),
    ],
    ids=range(9),
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, words: str
) -> None:
    monkeypatch.setattr(csv, "_LONGEST_ROW", 2000)
    monkeypatch.setattr(source, "CHUNK_BYTES", 1500)
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(DataError) as caught:
        numbers(path, "cpu")
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_single_column_may_be_quoted(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "a.csv", '"a; b"\n"1"\n\n"2"\n')) == [{"a; b": 1}, {"a; b": 2}]


def test_numbers_may_be_names_of_columns_that_are_counted(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "a.csv", "0,1\n5,6\n")) == [{"0": 5, "1": 6}]
