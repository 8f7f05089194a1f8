"""What every model store does: a new one is listed in REGISTRIES."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.errors import ModelError
from aestream.registry.base import Registry
from aestream.registry.local import LocalRegistry
from tests import manifests

REGISTRIES: dict[str, Callable[[Path], Registry]] = {
    "local": lambda folder: LocalRegistry(folder / "store", "m", keep=3),
}


@pytest.fixture(params=REGISTRIES.values(), ids=REGISTRIES.keys())
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Registry]:
    return lambda: request.param(tmp_path)


def writer(number: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        manifests.write(folder, metadata={"number": number})
        (folder / "weights").write_bytes(b"%d" % number)

    return write


def test_its_place_can_be_told(make: Callable[[], Registry]) -> None:
    assert make().model in make().place


def test_a_new_store_is_empty(make: Callable[[], Registry]) -> None:
    store = make()
    assert store.model == "m"
    assert store.current() is None
    assert list(store.versions()) == []
    with pytest.raises(ModelError, match="nothing to roll back"):
        store.rollback()


def test_what_is_published_is_current_and_seen_by_others(make: Callable[[], Registry]) -> None:
    name = make().publish(writer(1))
    other = make()
    assert other.current() == name
    assert (other.open(name) / "weights").read_bytes() == b"1"
    assert [(version.name, version.manifest.metadata) for version in other.versions()] == [(name, {"number": 1})]


def test_versions_sort_by_age_even_within_a_second(make: Callable[[], Registry]) -> None:
    store = make()
    names = [store.publish(writer(i)) for i in range(3)]
    assert names == sorted(set(names))
    assert [version.manifest.metadata["number"] for version in store.versions()] == [0, 1, 2]
    assert store.current() == names[-1]


def test_a_writer_that_fails_changes_nothing(make: Callable[[], Registry]) -> None:
    store = make()
    name = store.publish(writer(1))

    def fails(folder: Path) -> None:
        manifests.write(folder)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        store.publish(fails)
    assert store.current() == name
    assert len(store.versions()) == 1


def test_a_full_disk_is_one_line(make: Callable[[], Registry]) -> None:
    def fails(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelError, match="cannot be written: No space left on device"):
        make().publish(fails)
    assert make().current() is None


def test_only_so_many_versions_are_kept_and_never_without_the_current(make: Callable[[], Registry]) -> None:
    store = make()
    names = [store.publish(writer(i)) for i in range(5)]
    assert [version.name for version in store.versions()] == names[-3:]
    with pytest.raises(ModelError, match=names[0]):
        store.open(names[0])


def test_rollback_goes_back_one_step_at_a_time_and_forward_by_name(make: Callable[[], Registry]) -> None:
    store = make()
    names = [store.publish(writer(i)) for i in range(3)]
    assert store.rollback() == names[1] == make().current()
    assert store.rollback() == names[0] == make().current()
    with pytest.raises(ModelError, match="nothing to roll back"):
        store.rollback()
    assert store.rollback(names[2]) == names[2] == make().current()


def test_older_versions_come_newest_first_and_what_was_rolled_back_from_is_none(make: Callable[[], Registry]) -> None:
    store = make()
    names = [store.publish(writer(i)) for i in range(3)]
    assert list(store.older(names[2])) == [names[1], names[0]]
    store.rollback()
    assert list(store.older(store.current() or "")) == [names[0]]
    assert list(store.older("99990101T000000Z")) == names[::-1]  # one that is gone


@pytest.mark.parametrize("version", ["20200101T000000Z", "..", ".", "", "../m", "/etc", "current"])
def test_a_version_that_is_not_there_is_refused(make: Callable[[], Registry], version: str) -> None:
    store = make()
    name = store.publish(writer(1))
    with pytest.raises(ModelError, match="model list"):
        store.open(version)
    with pytest.raises(ModelError):
        store.rollback(version)
    assert store.current() == name


def test_publishing_after_a_rollback_makes_the_newest(make: Callable[[], Registry]) -> None:
    store = make()
    names = [store.publish(writer(i)) for i in range(2)]
    store.rollback()
    newest = store.publish(writer(9))
    assert newest > names[1]
    assert store.current() == newest
