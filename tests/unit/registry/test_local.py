"""The folder store beyond the contract: what lies around in a folder, and who may read it."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from aestream.errors import ModelError
from aestream.registry.local import LocalRegistry
from tests.manifests import text, write
from tests.stores import put


def test_a_store_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    registry = LocalRegistry(tmp_path / "store", "m")
    with pytest.raises(ModelError, match="cannot be written"):
        registry.publish(write)
    with pytest.raises(ModelError, match="cannot be read"):
        registry.current()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"", b"\n", b"\0", b"../other", b"/etc", b".", b".staging-x", b"one\ntwo"]
)
def test_a_pointer_that_names_no_version_is_one_line_and_can_be_fixed(tmp_path: Path, content: bytes) -> None:
    registry = LocalRegistry(tmp_path, "m")
    name = put(registry)
    (tmp_path / "m/current").write_bytes(content)
    for ask in (registry.current, registry.rollback):
        with pytest.raises(
            ModelError, match=r"current names .*, which is not a version: `aestream model rollback VERSION`"
        ) as caught:
            ask()
        assert len(str(caught.value).splitlines()) == 1
    registry.promote(name)
    assert registry.current() == name


def test_a_pointer_longer_than_a_name_can_be_is_one_line(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    put(registry)
    (tmp_path / "m/current").write_text("x" * 300)
    with pytest.raises(ModelError, match="cannot be read"):
        registry.open(registry.current() or "")


def test_a_pointer_that_tells_no_age_has_nothing_older(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    put(registry)
    assert registry.older("zzz") == []


def test_other_users_can_read_a_version(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    folder = registry.open(put(registry))
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "m/current").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_run_left_goes_after_a_day_and_not_before(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    put(registry)
    for name in ("old", "new"):
        (tmp_path / f"m/.staging-{name}").mkdir()
        (tmp_path / f"m/.staging-{name}/half").write_text("")
    (tmp_path / "m/.staging-file").write_text("")
    for name in ("old", "file"):
        os.utime(tmp_path / f"m/.staging-{name}", (0, 0))
    put(registry)
    assert sorted(path.name for path in (tmp_path / "m").glob(".staging*")) == [".staging-new"]
    assert len(registry.versions()) == 2


def test_a_pointer_that_names_no_version_neither_stops_a_training_nor_costs_a_version(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m", keep=2)
    names = [put(registry) for _ in range(2)]
    (tmp_path / "m/current").write_text("../other")
    names += [registry.publish(write) for _ in range(3)]
    assert [version.name for version in registry.versions()] == names
    registry.prune()
    assert [version.name for version in registry.versions()] == names
    registry.promote(names[-1])
    assert registry.current() == names[-1]


def test_what_nobody_promoted_goes_after_a_day_and_the_current_version_never(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m", keep=2)
    first = put(registry)
    given_up, fresh = registry.publish(write), registry.publish(write)
    for name in (first, given_up):
        (tmp_path / f"m/.unpromoted-{name}").touch()  # a kill right behind the switch leaves it with the current one
        os.utime(tmp_path / f"m/.unpromoted-{name}", (0, 0))
    last = registry.publish(write)
    registry.prune()
    assert [version.name for version in registry.versions()] == [first, fresh, last]
    assert {path.name for path in (tmp_path / "m").glob(".un*")} == {f".unpromoted-{fresh}", f".unpromoted-{last}"}


def test_a_name_that_another_trainer_is_about_to_take_is_left_to_it(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    put(registry)
    now = datetime.datetime.now(datetime.UTC)
    taken = {f"{now + datetime.timedelta(seconds=second):%Y%m%dT%H%M%SZ}" for second in range(60)}
    for name in taken:
        (tmp_path / f"m/.unpromoted-{name}").touch()
    name = registry.publish(write)
    assert name > max(taken)
    assert [version.name for version in registry.versions()][1:] == [name]


def test_a_folder_of_a_persons_own_name_does_not_hold_up_a_training(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    name = put(registry)
    registry.open(name).rename(tmp_path / "m/the-good-one")
    assert put(registry) == registry.current()
    registry.promote("the-good-one")
    assert registry.current() == "the-good-one"


def test_a_damaged_manifest_hides_only_its_own_version(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, "m")
    first, second = put(registry), put(registry)
    newer = text().replace('"format_version": 2', '"format_version": 3').encode()
    for damaged in (b"\xff{", b"[]", b"{}", b"[" * 100_000, text(created=None).encode(), newer):
        (tmp_path / "m" / first / "manifest.json").write_bytes(damaged)
        assert [version.name for version in registry.versions()] == [second]
