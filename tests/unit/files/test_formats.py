"""Files in, files out: what is read as what, and what is said of the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from aestream.columns import Column, Kind
from aestream.errors import ConfigurationError, DataError
from aestream.files import formats as files
from aestream.files.formats import Columns, columns_of, read_documents, read_lines, read_tables, writer


def numbers(path: Path, *names: str) -> list[list[float]]:
    return [row for table in read_tables(path) for row in columns_of(table, names)[0].tolist()]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_columns_by_name_whatever_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'b,name,"a,x"\n1,u,2\n3.5,v,-4e2\n')
    assert numbers(path, "a,x", "b") == [[2, 1], [-400, 3.5]]


def test_what_is_no_finite_number_is_named_by_row_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,2\n,2\nx,2\n1,nan\n1,inf\n5,6\n")
    (table,) = read_tables(path)
    matrix, problems = columns_of(table, ["a", "b"])
    assert problems == [
        (row, f"{name} is not a finite number") for row, name in ((1, "a"), (2, "a"), (3, "b"), (4, "b"))
    ]
    assert matrix[[0, 5]].tolist() == [[1, 2], [5, 6]]


def test_values_of_another_kind_are_named_and_missing_ones_only_where_they_may_not_be(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "n,on,zone,at\n1,true,a,2026-01-05\n,,,\n3,false,b,2026-01-06 12:00\n")
    (table,) = read_tables(path)
    strict = [Column(), Column(Kind.BOOLEAN), Column(Kind.CATEGORICAL, ("a",)), Column(Kind.TIMESTAMP, unit="text")]
    names = ["n", "on", "zone", "at"]
    matrix, problems = columns_of(table, names, strict)
    assert matrix[[0, 2]].tolist() == [[1, 1, 0, 1767571200], [3, 0, -1, 1767700800]]
    assert problems == [(1, "n is not a finite number")]
    loose = [replace(column, imputed=True) for column in strict]
    matrix, problems = columns_of(table, names, loose)
    assert problems == []
    assert np.isnan(matrix[1]).all()
    odd = pa.table({"n": ["x", None], "on": [True, None], "zone": [4, None], "at": ["noon", None]})
    assert columns_of(odd, names, loose)[1] == [(0, "n is not a finite number")]
    assert columns_of(odd, names[1:], loose[1:])[1] == [(0, "at is not a timestamp value")]


def test_a_csv_that_begins_with_whole_or_no_numbers_goes_on_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_CHUNK_BYTES", 200)
    rows = ["0,"] * 100 + ["0.5,7"] * 100
    path = write(tmp_path / "a.csv", "a,b\n" + "\n".join(rows) + "\n")
    tables = list(read_tables(path))
    assert len(tables) > 2
    found = np.concatenate([columns_of(table, ["a", "b"])[0] for table in tables])
    assert found[150].tolist() == [0.5, 7.0]
    assert np.isnan(found[0, 1])


def test_parquet_may_be_nested_and_teaches_the_paths_of_json(tmp_path: Path) -> None:
    records = [{"cpu": {"user": float(i), "more": {"x": i}}, "load": i * 2} for i in range(4)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    assert numbers(tmp_path / "a.parquet", "load", "cpu.more.x") == [[2 * i, i] for i in range(4)]
    assert read_documents(tmp_path / "a.parquet", limit=3) == records[:3]


def test_json_lines_come_without_empty_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a":1}\n\n  {"a":2}  \r\n{"a":3}')
    assert [line for chunk in read_lines(path) for line in chunk] == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"no parquet"),
        ("a.parquet", b""),
        ("a.csv", b""),
        ("a.csv", b"a,b\n1,2,3\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        numbers(path, "a")
    assert str(path) in str(caught.value) or "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.jsonl"])
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    read = read_lines if name.endswith("jsonl") else read_tables
    with pytest.raises(DataError, match="there is no file"):
        list(read(tmp_path / name))


def test_a_folder_a_strange_suffix_and_a_missing_column_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(tmp_path / "d.jsonl"))
    with pytest.raises(ConfigurationError, match="suffix"):
        list(read_tables(tmp_path / "a.xlsx"))
    with pytest.raises(DataError, match="c, which the model needs; it has a, b"):
        numbers(write(tmp_path / "a.csv", "a,b\n1,2\n"), "a", "c")


def test_a_column_that_is_there_twice_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a"):
        numbers(write(tmp_path / "a.csv", "a,b,a\n1,2,3\n"), "a", "b")


CHUNKS: list[Columns] = [
    {"row": np.arange(2), "score": np.asarray([0.5, np.nan]), "anomaly": [True, None], "problem": [None, "bad"]},
    {"row": np.arange(2, 3), "score": np.asarray([2.0]), "anomaly": [False], "problem": [None]},
]


def written(path: Path, kind: str | None = None) -> Path:
    with writer(path, kind) as out:
        for chunk in CHUNKS:
            out.write(chunk)
    return path


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    expected: list[dict[str, Any]] = [
        {"row": 0, "score": 0.5, "anomaly": True, "problem": None},
        {"row": 1, "score": None, "anomaly": None, "problem": "bad"},
        {"row": 2, "score": 2.0, "anomaly": False, "problem": None},
    ]
    assert pyarrow.parquet.read_table(written(tmp_path / "a.parquet")).to_pylist() == expected
    lines = written(tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {name: value for name, value in row.items() if value is not None} for row in expected
    ]
    csv = written(tmp_path / "a.csv").read_text().splitlines()
    assert csv[0].replace('"', "") == "row,score,anomaly,problem"
    assert [line.split(",")[0] for line in csv[1:]] == ["0", "1", "2"]
    assert written(tmp_path / "a.txt", "jsonl").read_text().splitlines() == lines


def test_an_output_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"), writer(tmp_path / "no/a.csv", None):
        pass
    with pytest.raises(ConfigurationError, match="--output"), writer(None, "parquet"):
        pass


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_csv_file_may_use_any_common_delimiter(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"a{mark}b\n1.5{mark}2\n3{mark}4\n")
    (table,) = files.read_tables(path)
    assert table.to_pydict() == {"a": [1.5, 3.0], "b": [2.0, 4.0]}
