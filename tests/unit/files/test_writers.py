"""Results as files: what is written reads back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from aestream.errors import ConfigurationError, DataError
from aestream.files.writers import Columns, writer

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


@pytest.mark.parametrize("name", ["scores.csv", "scores.jsonl", "scores.parquet", "scores.csv.gz"])
def test_what_fails_before_its_first_row_leaves_no_file_behind(tmp_path: Path, name: str) -> None:
    def fail(*, rows: int) -> None:
        with writer(tmp_path / name, None) as made:
            if rows:
                made.write({"score": np.zeros(rows)})
            raise DataError("no")

    with pytest.raises(DataError):
        fail(rows=0)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError):
        fail(rows=100_000)
    assert (tmp_path / name).stat().st_size


def test_the_suffix_says_how_to_compress_and_what_separates(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.csv").read_bytes()
    assert gzip.decompress(written(tmp_path / "a.csv.gz").read_bytes()) == plain
    assert written(tmp_path / "a.tsv").read_bytes() == plain.replace(b",", b"\t")
