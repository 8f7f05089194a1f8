"""A file through the detector: one row of results for every record, whatever is in it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.detector.detector import Detector
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.files import offline
from aestream.files import rows as rows_of_files
from aestream.files.rows import read_rows
from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.inference.selection import Selection
from tests.unit.files import LINES, documents

SCHEMA = FeatureSchema(("cpu.user", "load", "rate"), (("cpu", "user"), ("load",), ("rate",)))


@pytest.fixture(scope="module")
def detector() -> Detector:
    base = np.random.default_rng(0).normal(size=(300, 1))
    return Detector(false_alarm_rate=0.05).fit_matrix(base * [1.0, 2.0, 3.0] + [10.0, 0.0, 0.0], SCHEMA)


def jsonl(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def good(x: float) -> str:
    return json.dumps({"cpu": {"user": x + 10}, "load": 2 * x, "rate": 3 * x})


@pytest.mark.parametrize("work", [offline.score, offline.encode, offline.denoise])
def test_every_record_has_a_row(detector: Detector, tmp_path: Path, work: object) -> None:
    path = jsonl(tmp_path / "a.jsonl", "{", good(0.1), "[]", good(0.2), '{"load":1}', good(0.3))
    (chunk,) = offline.apply(work, detector, path, LINES)  # type: ignore[arg-type]
    assert chunk["row"].tolist() == [0, 1, 2, 3, 4, 5]  # type: ignore[union-attr]
    assert [problem is None for problem in chunk["problem"]] == [False, True] * 3
    results = [np.asarray(values, float) for name, values in chunk.items() if name not in {"row", "problem"}]
    assert results
    for column in results:
        assert np.isnan(column).tolist() == [True, False] * 3


def test_a_file_scores_as_the_matrix_does_and_rows_count_on(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xs = np.linspace(-1, 1, 50)
    path = jsonl(tmp_path / "a.jsonl", *map(good, xs))
    monkeypatch.setattr("aestream.files.source.CHUNK_BYTES", 500)
    chunks = list(offline.apply(offline.score, detector, path, LINES))
    assert len(chunks) > 3
    assert np.concatenate([chunk["row"] for chunk in chunks]).tolist() == list(range(50))
    matrix = np.stack([xs + 10, 2 * xs, 3 * xs], axis=1)
    expected = detector.detect(matrix)
    np.testing.assert_allclose(np.concatenate([chunk["score"] for chunk in chunks]), expected.score, rtol=1e-4)
    csv = tmp_path / "a.csv"
    csv.write_text("rate,load,cpu.user\n" + "\n".join(f"{3 * x},{2 * x},{x + 10}" for x in xs) + "\n")
    chunks = list(offline.apply(offline.score, detector, csv, LINES))
    np.testing.assert_allclose(np.concatenate([chunk["score"] for chunk in chunks]), expected.score, rtol=1e-4)


def test_a_file_with_nothing_usable_has_only_problems(detector: Detector, tmp_path: Path) -> None:
    (chunk,) = offline.apply(offline.score, detector, jsonl(tmp_path / "a.jsonl", "{", "7"), LINES)
    assert all(chunk["problem"])
    assert list(chunk["anomaly"]) == [None, None]


def test_lines_that_hold_several_records_have_a_row_for_each(detector: Detector, tmp_path: Path) -> None:
    lines = JsonCodec(10_000, Layout(unpack="items"))
    first = f'{{"items":[{good(0.1)},{good(0.2)},{{"load":1}}]}}'
    path = jsonl(tmp_path / "a.jsonl", first, "{", '{"items":[]}', f'{{"items":[{good(0.3)}]}}')
    (chunk,) = offline.apply(offline.score, detector, path, lines)
    assert chunk["row"].tolist() == [0, 1, 2, 3, 4]  # type: ignore[union-attr]
    problems = [None if problem is None else problem[:9] for problem in chunk["problem"]]
    assert problems == [None, None, "element 2", "not JSON:", None]
    assert np.isnan(chunk["score"]).tolist() == [False, False, True, True, False]
    assert rows_of_files.documents(path, lines, records=100) == [
        json.loads(line) for line in (good(0.1), good(0.2), '{"load":1}', good(0.3))
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_without_records_is_one_line(detector: Detector, tmp_path: Path, name: str) -> None:
    path = jsonl(tmp_path / name, "cpu.user,load,rate" if name == "a.csv" else "")
    with pytest.raises(DataError, match=f"{name} holds no records"):
        list(offline.apply(offline.score, detector, path, LINES))
    with pytest.raises(DataError, match=f"{name} holds no records"):
        documents(path)


def test_features_of_a_file_are_inferred_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    records = documents(jsonl(tmp_path / "a.jsonl", *(good(i * 0.37 % 1) for i in range(40))))
    found = infer(Documents(records), Selection(exclude=["rate"]))
    assert found.schema().paths == (("cpu", "user"), ("load",))
    assert [note.name for note in found.notes if not note.used] == ["rate"]
    with pytest.raises(DataError, match=r"none of the 1 records in .* can be read: not JSON"):
        documents(jsonl(tmp_path / "b.jsonl", "", "x"))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("hosts", [2, 3, 4, 6, 8, 12])
def test_hosts_that_take_turns_are_all_seen_in_a_long_file(tmp_path: Path, suffix: str, hosts: int) -> None:
    path, count = tmp_path / f"long.{suffix}", 50_000
    if suffix == "csv":
        path.write_text("host,load\n" + "".join(f"web-{row % hosts},{row}\n" for row in range(count)))
    else:
        path.write_text("".join(f'{{"host": "web-{row % hosts}", "load": {row}}}\n' for row in range(count)))
    found = documents(path, records=count)
    seen = Counter(record["host"] for record in found)
    assert len(found) > 5000
    assert len(seen) == hosts
    assert min(seen.values()) > 0.8 * len(found) / hosts
    assert np.ptp([int(record["load"]) for record in found]) > 0.99 * count


def test_all_kinds_go_through_files_of_any_format(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records: list[dict[str, object]] = [
        {
            "load": float(rng.normal()),
            "on": bool(rng.random() < 0.5),
            "zone": "abc"[int(rng.integers(3))],
            "gap": 1.5 * i,
        }
        for i in range(300)
    ]
    for record in records[::5]:
        record["gap"] = None
    lines = jsonl(tmp_path / "a.jsonl", *map(json.dumps, records))
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    rows = ["load,on,zone,gap", *(",".join("" if v is None else str(v).lower() for v in r.values()) for r in records)]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    wanted = Selection(include=["*", "gap"], missing=["gap=impute"])
    schema = infer(Documents(documents(lines)), wanted).schema()
    assert [str(column.kind) for column in schema.columns] == ["numeric", "boolean", "categorical", "numeric"]
    expected = schema.matrix(records)
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        assert infer(Documents(documents(tmp_path / name)), wanted).schema() == schema
        (rows_of,) = read_rows(tmp_path / name, schema, LINES)
        np.testing.assert_array_equal(rows_of.matrix, expected)
    found = Detector(steps=50).fit_matrix(expected, schema)
    (chunk,) = offline.apply(offline.denoise, found, tmp_path / "a.csv", LINES)
    assert set(chunk["zone"]) <= {"a", "b", "c"}
    assert set(chunk["on"]) <= {True, False}
