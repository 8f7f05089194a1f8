"""The folder store beyond the contract: what lies around in a folder, and who may read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aestream.errors import ModelError
from aestream.registry.local import LocalRegistry


def write(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


def test_a_store_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    registry = LocalRegistry(tmp_path / "store", "m")
    with pytest.raises(ModelError, match="cannot be written"):
        registry.publish(write)
    with pytest.raises(ModelError, match="cannot be read"):
        registry.current()


def test_a_pointer_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    registry.publish(write)
    (tmp_path / "m/current").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="current cannot be read"):
        registry.current()


def test_other_users_can_read_a_version(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    folder = registry.open(registry.publish(write))
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "m/current").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_run_left_goes_after_a_day_and_not_before(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    registry.publish(write)
    for name in ("old", "new"):
        (tmp_path / f"m/.staging-{name}").mkdir()
        (tmp_path / f"m/.staging-{name}/half").write_text("")
    (tmp_path / "m/.staging-file").write_text("")
    for name in ("old", "file"):
        os.utime(tmp_path / f"m/.staging-{name}", (0, 0))
    registry.publish(write)
    assert sorted(path.name for path in (tmp_path / "m").glob(".staging*")) == [".staging-new"]
    assert len(registry.versions()) == 2


def test_a_damaged_manifest_hides_only_its_own_version(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    first, second = registry.publish(write), registry.publish(write)
    (tmp_path / "m" / first / "manifest.json").write_bytes(b"\xff{")
    assert [version.name for version in registry.versions()] == [second]
