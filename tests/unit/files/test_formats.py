"""Which format a file has, and Parquet."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from aestream.errors import ConfigurationError, DataError
from aestream.files.formats import format_of, read_tables
from tests.unit.files import documents, numbers, problems, write


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.b.csv.gz", "csv"),
        ("a.jsonl.zst", "jsonl"),
        ("a.ndjson.bz2", "jsonl"),
        ("a.json", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.pq", "parquet"),
    ],
)
def test_the_suffix_tells_the_format(name: str, kind: str) -> None:
    assert format_of(Path(name)) == kind


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.gz", "csv", "a.parquet.gz", ".csv"])
def test_a_strange_suffix_is_one_line(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown format: give a file whose name ends in \.csv"):
        format_of(Path(name))


def test_parquet_may_be_nested_and_teaches_the_paths_of_json(tmp_path: Path) -> None:
    records = [{"cpu": {"user": float(i), "more": {"x": i}}, "load": i * 2} for i in range(4)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    assert numbers(tmp_path / "a.parquet", "load", "cpu.more.x") == [[2 * i, i] for i in range(4)]
    assert documents(tmp_path / "a.parquet") == records


def test_values_that_parquet_lacks_cost_their_row(tmp_path: Path) -> None:
    at = pa.array([1_700_000_000_123_456_789 + i for i in range(4)], pa.timestamp("ns"))
    table = pa.table({"a": [1.0, None, float("nan"), float("inf")], "at": at})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert problems(tmp_path / "a.parquet", "a") == [(1, "a is missing"), (2, "a is NaN"), (3, "a is Infinity")]
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, datetime.UTC)
    assert [record["at"] for record in documents(tmp_path / "a.parquet")] == [moment] * 4


@pytest.mark.parametrize("content", [b"no parquet", b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"a,b\n1,2\n"])
def test_what_is_no_parquet_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.parquet", content)
    with pytest.raises(DataError) as caught:
        numbers(path, "a")
    assert str(caught.value).startswith(f"{path} cannot be read: ")
    assert "\n" not in str(caught.value)


def test_two_columns_of_one_name_are_one_line(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has two columns called 'a'"):
        numbers(tmp_path / "a.parquet", "a")


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.jsonl"])
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="there is no file"):
        documents(tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_documents_are_spread_over_the_records_that_are_wanted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    table = pa.table({"n": np.arange(50_000)})
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        row = '{{"n": {}}}'.format if suffix == "jsonl" else str
        write(path, "\n".join(["n"] * (suffix == "csv") + [row(i) for i in range(50_000)]))
    for wanted, least in ((100, 100), (9_000, 9_000), (40_000, 4_900), (10**6, 4_900)):
        found = np.array([record["n"] for record in documents(path, wanted)])
        assert least <= len(found) <= min(wanted, 10_000)
        assert found[0] == 0
        steps = np.diff(found)
        assert steps.max() <= 3 * steps.mean()
        assert min(wanted, 50_000) - steps.max() <= found[-1] < wanted


def test_a_table_that_lacks_a_column_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="c, which the model needs; it has a, b"):
        numbers(write(tmp_path / "a.csv", "a,b\n1,2\n"), "a", "c")
    assert [table.column_names for table, _ in read_tables(tmp_path / "a.csv")] == [["a", "b"]]
