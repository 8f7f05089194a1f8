"""Ordinary files through the commands: train and score."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from aestream.cli import main
from tests.unit.files import write

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(600, 2)) @ RNG.normal(size=(2, 3)) + 0.1 * RNG.normal(size=(600, 3)) + 7
HEAD = ["Temp (°C)", "mem", "io"]


def text(mark: str, rows: list[list[str]]) -> str:
    return "\n".join(mark.join(row) for row in [HEAD, *rows]) + "\n"


def cells(shown: Callable[[float], str]) -> list[list[str]]:
    return [[shown(value) for value in row] for row in ROWS.tolist()]


def decimal_comma(path: Path) -> Path:
    return write(path / "a.csv", text(";", cells(lambda value: f"{value:.3f}".replace(".", ","))))


def legacy(path: Path) -> Path:
    return write(path / "a.csv", text(",", cells(str)).encode("latin-1"))


def dash(path: Path) -> Path:
    rows = cells(str)
    rows[400][1] = "-"
    return write(path / "a.csv", text(",", rows))


def nanoseconds(path: Path) -> Path:
    at = pa.array([1_700_000_000_123_456_789 + i * 60_000_000_007 for i in range(600)], pa.timestamp("ns"))
    table = pa.table({"at": at, "day": at.cast(pa.date32()), **dict(zip(HEAD, ROWS.T, strict=True))})
    pyarrow.parquet.write_table(table, path / "a.parquet")
    return path / "a.parquet"


@pytest.mark.parametrize("make", [decimal_comma, legacy, dash, nanoseconds])
def test_files_as_people_have_them_are_trained_on_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], make: Callable[[Path], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(make(tmp_path))
    assert main(["train", file]) == 0
    said = capsys.readouterr()
    assert "3 features" in said.out
    assert ("read as Windows-1252" in said.err) == (make is legacy)
    assert main(["score", file, "-o", "scores.csv"]) == 0
    with Path("scores.csv").open(newline="") as scores:
        rows = list(csv.DictReader(scores))
    assert [int(row["row"]) for row in rows] == list(range(600))
    problems = {row["row"]: row["problem"] for row in rows if row["problem"]}
    assert problems == ({"400": 'mem is "-"'} if make is dash else {})
    assert sum(row["anomaly"] == "true" for row in rows) < 10
    if make is legacy:
        capsys.readouterr()
        assert main(["score", file, "--encoding", "latin-1", "-o", "again.csv"]) == 0
        assert capsys.readouterr().err == ""
        assert main(["score", file, "--encoding", "utf-8", "-o", "again.csv"]) == 1
        assert main(["score", file, "--encoding", "utf-99", "-o", "again.csv"]) == 2
    assert main(["score", file, "-o", file]) == 2
    assert "is the file to read" in capsys.readouterr().err
    assert main(["init", "--file", file]) == 0
    assert "# Features (3)" in capsys.readouterr().out
