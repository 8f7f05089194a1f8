import datetime
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from aestream import artefact
from aestream.artefact import FieldNote
from aestream.errors import ModelError
from tests.manifests import facts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    told = facts(metadata={"note": "ü", "n": np.int64(3)})
    artefact.write(tmp_path / "model", told, {"a": np.arange(6.0).reshape(2, 3)})
    return tmp_path / "model"


def edit(folder: Path, **changes: object) -> None:
    path = folder / artefact.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_was_written_is_read(folder: Path) -> None:
    manifest, arrays = artefact.read(folder)
    assert (manifest.metadata, manifest.format_version) == ({"note": "ü", "n": 3}, artefact.FORMAT_VERSION)
    assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sorted(path.name for path in folder.iterdir()) == [artefact.MANIFEST, artefact.ARRAYS]


def test_the_manifest_is_that_of_the_file_whoever_hands_it_over(tmp_path: Path) -> None:
    written = artefact.write(
        tmp_path,
        facts(fields=[{"name": "host", "used": "", "reason": "constant", "missing": 0.5, "remedy": ""}]),
        {"a": np.zeros(1)},
    )
    content = (tmp_path / artefact.MANIFEST).read_bytes()
    assert written == artefact.read_manifest(tmp_path) == artefact.read(tmp_path)[0]
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert json.loads(written.to_json()) == json.loads(content)


def test_what_a_person_asks_of_a_manifest_has_a_type(folder: Path) -> None:
    edit(folder, created="2026-01-02T03:04:05+00:00", training={"records": 7, "steps": 1}, threshold={"value": 2})
    manifest = artefact.read_manifest(folder)
    assert manifest.created == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert (manifest.records, manifest.threshold_value, manifest.features) == (7, 2.0, ["a", "b"])


def test_what_became_of_each_field_is_kept(folder: Path) -> None:
    edit(folder, fields=[{"name": "host", "used": "", "reason": "constant", "remedy": "`include=*,host`"}])
    assert artefact.read_manifest(folder).fields == [FieldNote("host", "", "constant", 0.0, "`include=*,host`")]
    content = json.loads((folder / artefact.MANIFEST).read_text())
    del content["fields"]  # a model from before
    (folder / artefact.MANIFEST).write_text(json.dumps(content))
    assert list(artefact.read_manifest(folder).fields) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"created": None}, "created"),
        ({"created": "soon"}, "created"),
        ({"created": "2026-01-02T03:04:05"}, "created"),  # of which time zone?
        ({"schema": {}}, "`schema` has no usable `names`"),
        ({"threshold": {"value": "1"}}, "`threshold` has no usable `value`"),
        ({"threshold": None}, "threshold"),
        ({"training": []}, "training"),
        ({"representation": 7}, "representation"),
        ({"fields": ["host"]}, "fields"),
        ({"score_quantiles": {"0.5": "much"}}, "score_quantiles"),
        ({"files": {artefact.ARRAYS: 7}}, "files"),
    ],
    ids=str,
)
def test_a_field_of_another_type_is_named_with_its_file_and_a_remedy(
    folder: Path, change: dict[str, object], said: str
) -> None:
    edit(folder, **change)
    with pytest.raises(ModelError) as caught:
        artefact.read(folder)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{folder / artefact.MANIFEST} is damaged (")
    assert said in line
    assert line.endswith("train again or roll back")


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="created"):
        artefact.write(tmp_path / "model", facts(created=None), {"a": np.zeros(1)})
    assert not (tmp_path / "model").exists()


def test_an_empty_directory_may_be_there_and_a_full_one_is_left_alone(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    artefact.write(tmp_path / "empty", facts(), {"a": np.zeros(1)})
    before = (folder / artefact.MANIFEST).read_bytes()
    with pytest.raises(ModelError, match="not empty"):
        artefact.write(folder, facts(), {"a": np.zeros(1)})
    assert (folder / artefact.MANIFEST).read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file/model cannot be written"):
        artefact.write(tmp_path / "file" / "model", facts(), {"a": np.zeros(1)})


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
