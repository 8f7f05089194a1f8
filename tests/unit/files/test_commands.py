"""Ordinary files through the commands: train and score."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from aestream import Detector
from aestream.cli import main
from tests import telemetry
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


def test_a_model_with_windows_scores_a_file_as_python_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aestream.files.source.CHUNK_BYTES", 20_000)
    # to pandas, hosts 1, 2 and 3 are numbers, and in a file they are text
    rows = [[time, host.removeprefix("web-"), *values] for time, host, *values in telemetry.rows()]
    parts = {"normal.csv": rows[:6000], "today.csv": rows[6000:]}
    for name, part in parts.items():
        with Path(name).open("w", newline="") as file:
            csv.writer(file).writerows([telemetry.HEADER, *part])
    entities = ["--key", "host", "--time", "ts"]
    learnt = [word for name in ("window=5", "exclude=fault") for word in ("--set", f"features.{name}")]
    assert main(["train", "normal.csv", *entities, *learnt]) == 0
    assert main(["score", "today.csv", *entities, "-o", "scores.csv"]) == 0
    with Path("scores.csv").open(newline="") as scores:
        found = list(csv.DictReader(scores))
    (folder,) = (path.parent for path in Path("models").rglob("manifest.json"))
    today = pd.read_csv("today.csv")
    expected = Detector.load(folder).detect(today, keys=today["host"], times=today["ts"])
    np.testing.assert_allclose([float(row["score"]) for row in found], expected.score, rtol=1e-4)
    assert [row["anomaly"] == "true" for row in found] == expected.anomaly.tolist()
    assert {row["status"] for row in found} == {"scored"}
    assert {row["episode.state"] for row in found} >= {"", "opened", "ongoing", "closed"}
    opened = [row for row in found if row["episode.state"] == "opened"]
    assert all(row["episode.since"] == rows[6000 + int(row["row"])][0].replace(" ", "T") + "Z" for row in opened)
    normal = pd.read_csv("normal.csv").drop(columns="fault")
    same = Detector(window=5).fit(normal, keys="host", times="ts")
    np.testing.assert_allclose(same.score(today, keys="host", times="ts"), expected.score, rtol=1e-4)

    # What was learnt from is a series of its own, and begins anew. The fields are known from the training.
    assert main(["score", "normal.csv", "-o", "again.csv"]) == 0
    with Path("again.csv").open(newline="") as scores:
        again = [row["status"] for row in csv.DictReader(scores)]
    assert again == ["warming"] * 12 + ["scored"] * (len(again) - 12)
    assert capsys.readouterr().err == ""

    with Path("unsorted.csv").open("w", newline="") as file:
        csv.writer(file).writerows([telemetry.HEADER, *rows[::-1]])
    assert main(["score", "unsorted.csv", "-o", "again.csv"]) == 0
    told = "11997 of 12000 records are older than one of their entity before them"
    assert told in capsys.readouterr().err
    assert main(["backtest", "unsorted.csv"]) == 0
    assert told.replace("11997 of 12000", "11,997") in capsys.readouterr().out
