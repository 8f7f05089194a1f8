"""The commands where torch is not installed: what only scores works, and what trains says in a line what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aestream.registry.local import LocalRegistry
from tests import torchless
from tests.stores import put

SAVED = Path(__file__).parents[2] / "contract/detectors"
NAMES = ",".join(f"feature_{i}" for i in range(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of five features in the store, and a file of these."""
    made = tmp_path_factory.mktemp("torchless")

    def write(version: Path) -> None:
        shutil.copytree(SAVED / "representation", version, dirs_exist_ok=True)

    put(LocalRegistry(made / "models", "default", keep=3), write)
    with np.load(SAVED / "representation/answers.npz") as file:
        np.savetxt(made / "records.csv", file["asked.rows"], delimiter=",", header=NAMES, comments="")
    return made


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AESTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "aestream", *arguments],
        env=env | torchless.variables(folder / "hidden") | {"OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["score", "records.csv"], 121),
        (["encode", "records.csv"], 121),
        (["denoise", "records.csv"], 121),
        (["backtest", "records.csv"], None),
        (["model", "list"], None),
        (["model", "show"], None),
        (["config"], None),
        (["init", "--file", "records.csv"], None),
    ],
)
def test_what_trains_nothing_works(folder: Path, arguments: list[str], lines: int | None) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert lines is None or len(done.stdout.splitlines()) == lines


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "records.csv"],
        ["trainer", "--set", "topics.input=events"],
        ["encode", "--fit", "records.csv", "records.csv"],
        ["backtest", "--fit", "records.csv", "records.csv"],
        ["demo"],
    ],
)
def test_what_trains_names_the_extra_in_one_line(folder: Path, arguments: list[str]) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        f"aestream {arguments[0]}: training needs PyTorch, and it is not installed: pip install '.[train]' in your "
        "clone of the project"
    )


def test_a_detector_can_be_loaded_and_not_fitted(folder: Path) -> None:
    code = f"""
import numpy as np
from aestream import Detector
from aestream.errors import ConfigurationError
with np.load({str(SAVED / "rows/answers.npz")!r}) as file:
    rows, anomaly = file["asked.rows"], file["anomaly"]
assert (Detector.load({str(SAVED / "rows")!r}).detect(rows).anomaly == anomaly).all()
try:
    Detector().fit(rows)
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | torchless.variables(folder / "hidden"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'.[train]'" in done.stdout
