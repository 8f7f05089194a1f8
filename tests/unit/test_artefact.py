import json
from pathlib import Path

import numpy as np
import pytest

from aestream import artefact
from aestream.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    artefact.write(tmp_path / "model", {"note": "ü", "n": np.int64(3)}, {"a": np.arange(6.0).reshape(2, 3)})
    return tmp_path / "model"


def edit(folder: Path, **changes: object) -> None:
    path = folder / artefact.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_was_written_is_read(folder: Path) -> None:
    manifest, arrays = artefact.read(folder)
    assert (manifest["note"], manifest["n"], manifest["format_version"]) == ("ü", 3, artefact.FORMAT_VERSION)
    assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sorted(path.name for path in folder.iterdir()) == [artefact.MANIFEST, artefact.ARRAYS]


def test_an_empty_directory_may_be_there_and_a_full_one_is_left_alone(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    artefact.write(tmp_path / "empty", {}, {"a": np.zeros(1)})
    before = (folder / artefact.MANIFEST).read_bytes()
    with pytest.raises(ModelError, match="not empty"):
        artefact.write(folder, {}, {"a": np.zeros(1)})
    assert (folder / artefact.MANIFEST).read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file/model cannot be written"):
        artefact.write(tmp_path / "file" / "model", {}, {"a": np.zeros(1)})


@pytest.mark.parametrize("name", [artefact.MANIFEST, artefact.ARRAYS])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        artefact.read(folder)


def test_one_changed_byte_is_found(folder: Path) -> None:
    content = bytearray((folder / artefact.ARRAYS).read_bytes())
    content[-1] ^= 1
    (folder / artefact.ARRAYS).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        artefact.read(folder)


def test_a_truncated_manifest_is_damaged(folder: Path) -> None:
    path = folder / artefact.MANIFEST
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelError, match="damaged"):
        artefact.read(folder)


def test_a_newer_format_is_refused(folder: Path) -> None:
    edit(folder, format_version=artefact.FORMAT_VERSION + 1)
    with pytest.raises(ModelError, match="update aestream"):
        artefact.read(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format_version": "x", "files": {}}', '{"format_version": 1}'])
def test_the_manifest_of_another_program_is_refused(folder: Path, text: str) -> None:
    (folder / artefact.MANIFEST).write_text(text)
    with pytest.raises(ModelError, match="not the manifest of an aestream model"):
        artefact.read(folder)


def test_a_manifest_cannot_name_files_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    files = json.loads((folder / artefact.MANIFEST).read_text())["files"]
    edit(folder, files={**files, "../secret": "0"})
    with pytest.raises(ModelError, match="model/secret cannot be read"):
        artefact.read(folder)
