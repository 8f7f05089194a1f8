"""Recordings of every kind that the demo reads, and what it says of those that it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aestream.demo.dataset import load
from aestream.demo.incidents import Incident, from_causes, from_labels, within
from aestream.errors import ConfigurationError, DataError

ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)
LABEL = np.array([0, 1, 1, 0, 0, 0, 0, 0, 0, 1])


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def test_arrays_with_causes(tmp_path: Path) -> None:
    names = {"features": np.array(["cpu", "disk"]), "incidents": np.array(["a leak", "a flood"])}
    path = saved(tmp_path, train=ROWS, test=ROWS, label=LABEL, causes=np.array("1-2:2\n9-9:1,2"), **names)
    found = load(path)
    assert found.incidents == (Incident("a leak", 1, 2, ("disk",)), Incident("a flood", 9, 9, ("cpu", "disk")))
    assert found.label.tolist() == (LABEL == 1).tolist()


def test_arrays_without_names_and_causes_take_incidents_from_the_labels(tmp_path: Path) -> None:
    found = load(saved(tmp_path, train=ROWS, test=ROWS, label=LABEL))
    assert found.names == ("feature_1", "feature_2")
    assert [(i.start, i.end) for i in found.incidents] == [(1, 2), (9, 9)]


def test_unsplit_arrays_are_split_after_three_fifths(tmp_path: Path) -> None:
    found = load(saved(tmp_path, X=ROWS, y=LABEL))
    assert (len(found.train), len(found.test)) == (6, 4)
    assert found.label.tolist() == [False, False, False, True]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_never_sends_its_labels(tmp_path: Path, separator: str) -> None:
    lines = ["when,cpu,free,anomaly,changepoint"]
    lines += [f"2020-01-01 00:00:0{i},{i}.5,{i},{LABEL[i]},{LABEL[i]}" for i in range(10)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines).replace(",", separator))
    found = load(path)
    assert found.names == ("cpu", "free")
    assert found.left_out == ("when",)
    assert found.train[1].tolist() == [1.5, 1.0]
    assert found.label.tolist() == [False, False, False, True]


def test_parquet_with_a_label_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"cpu": ROWS[:, 0], "broken": LABEL == 1}), path)
    found = load(path, "broken")
    assert found.names == ("cpu",)
    assert found.label.tolist() == [False, False, False, True]
    with pytest.raises(DataError, match=r"no label column label or anomaly.*--label.*cpu, broken"):
        load(path)


def test_what_is_missing_stays_missing(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("cpu,label\n1.5,0\n,0\n2.5,0\n3,0\n4,1\n")
    assert np.isnan(load(path).train[1, 0])


def test_times_are_kept(tmp_path: Path) -> None:
    times = {"timestamps_train": np.arange(10.0), "timestamps_test": np.arange(10.0) + 10}
    found = load(saved(tmp_path, train=ROWS, test=ROWS, label=LABEL, **times))
    assert found.train_times is not None
    assert found.test_times is not None
    assert found.test_times[0] == 10.0
    assert load(saved(tmp_path, train=ROWS, test=ROWS, label=LABEL)).test_times is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": ROWS, "test": ROWS}, "lacks label"),
        ({"train": ROWS, "test": ROWS, "label": LABEL[:3]}, "do not fit together"),
        ({"train": ROWS, "test": ROWS[:, :1], "label": LABEL}, "do not fit together"),
        ({"train": ROWS, "test": ROWS, "label": LABEL, "features": np.array(["a", "a"])}, "different names"),
        ({"train": ROWS, "test": ROWS, "label": LABEL, "causes": np.array("1-2:3")}, "line 1: '1-2:3'"),
        ({"train": ROWS[:0], "test": ROWS, "label": LABEL}, "too few rows"),
        ({"train": ROWS, "test": ROWS, "label": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(saved(tmp_path, **arrays))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no recording .*gone\.npz: check --data"):
        load(tmp_path / "gone.npz")
    for name, error in (("data.npz", DataError), ("data.parquet", DataError), ("data.xls", ConfigurationError)):
        (tmp_path / name).write_bytes(b"rubbish")
        with pytest.raises(error, match=name):
            load(tmp_path / name)
    (tmp_path / "data.csv").write_text("host,label\na,0\nb,1\n")
    with pytest.raises(DataError, match="no column of numbers"):
        load(tmp_path / "data.csv")


def test_incidents() -> None:
    label = np.array([True, True, False, True])
    runs = from_labels(label)
    assert [(i.start, i.end) for i in runs] == [(0, 1), (3, 3)]
    assert label[runs[0].rows].all()
    assert from_labels(np.zeros(3, bool)) == ()
    assert from_causes("3-5:", ["a"]) == (Incident("", 3, 5),)
    assert within(runs, 3) == runs[:1]
