"""An exported network gives elsewhere the numbers that it gives here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from aestream import Detector
from aestream.cli import main
from aestream.registry.local import LocalRegistry
from tests.stores import put

SAVED = Path(__file__).parents[2] / "contract/detectors"


def stored(folder: Path, name: str) -> str:
    """Put a detector into the store of a folder; return its version."""
    return put(
        LocalRegistry(folder / "models", "default", keep=3),
        lambda version: shutil.copytree(SAVED / name, version, dirs_exist_ok=True),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", ["rows", "representation", "windows"])
def test_another_run_time_makes_the_same_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    version = stored(tmp_path, name)
    assert main(["model", "export", version, "--onnx", "model.onnx"]) == 0
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    network = Detector.load(SAVED / name).network
    for count in (0, 1, 300):
        rows = np.random.default_rng(0).normal(size=(count, network.features + network.context)).astype(np.float32)
        latent, rebuilt = session.run(["latent", "reconstruction"], {"inputs": rows})
        assert np.allclose(latent, network.encode(rows), atol=1e-5)
        assert np.allclose(rebuilt, network(rows), atol=1e-5)


def test_a_file_that_is_there_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    stored(tmp_path, "rows")
    (tmp_path / "model.onnx").write_text("mine")
    assert main(["model", "export", "--onnx", "model.onnx"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["model", "export"]) == 2
    assert "--onnx FILE" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["model", "export", "--onnx", "model.onnx"]) == 2
    assert "'.[onnx]'" in capsys.readouterr().err
