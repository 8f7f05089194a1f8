"""What every model store does: a new one is listed in REGISTRIES."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from aestream.errors import ModelError
from aestream.registry.base import Registry
from aestream.registry.local import LocalRegistry
from tests import manifests
from tests.stores import put

REGISTRIES: dict[str, Callable[[Path], Registry]] = {
    "local": lambda folder: LocalRegistry(folder / "store", "m", keep=3),
}


@pytest.fixture(params=list(REGISTRIES))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Registry]:
    return lambda: REGISTRIES[request.param](tmp_path)


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


def test_what_is_published_is_seen_by_others_and_used_by_nobody(make: Callable[[], Registry]) -> None:
    first = make().publish(writer(1))
    other = make()
    assert other.current() is None
    assert (other.open(first) / "weights").read_bytes() == b"1"
    (version,) = other.versions()
    assert (version.name, version.manifest.metadata, version.promoted) == (first, {"number": 1}, False)


def test_what_is_promoted_is_current_until_another_is(make: Callable[[], Registry]) -> None:
    store = make()
    first, second = store.publish(writer(1)), store.publish(writer(2))
    for name in (first, second, first, first):
        store.promote(name)
        assert make().current() == name
    assert [version.promoted for version in make().versions()] == [True, True]


def test_a_kill_between_the_steps_leaves_the_current_version_and_one_that_can_still_be_promoted(
    make: Callable[[], Registry],
) -> None:
    current, lost = put(make(), writer(1)), make().publish(writer(2))
    store = make()
    assert store.current() == current
    assert {version.name: version.promoted for version in store.versions()} == {current: True, lost: False}
    assert list(store.older(current)) == []
    newest = put(store, writer(3))
    assert newest > lost
    assert list(store.older(newest)) == [current]
    store.promote(lost)
    assert store.current() == lost


def test_versions_sort_by_age_even_within_a_second(make: Callable[[], Registry]) -> None:
    store = make()
    names = [store.publish(writer(i)) for i in range(3)]
    assert names == sorted(set(names))
    assert [version.manifest.metadata["number"] for version in store.versions()] == [0, 1, 2]


def test_a_writer_that_fails_changes_nothing(make: Callable[[], Registry]) -> None:
    store = make()
    name = put(store, writer(1))

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
    names = [put(store, writer(i)) for i in range(5)]
    assert [version.name for version in store.versions()] == names[-3:]
    with pytest.raises(ModelError, match=names[0]):
        store.open(names[0])
    store.promote(names[2])
    waiting = [store.publish(writer(i)) for i in range(5)]
    store.prune()
    assert [version.name for version in store.versions()] == [*names[-3:], *waiting]
    assert store.current() == names[2]


def test_a_version_that_is_needed_stays_for_as_long_as_it_is(make: Callable[[], Registry]) -> None:
    store = make()
    names = [put(store, writer(i)) for i in range(3)]
    asked: list[None] = []

    def needed() -> list[str]:
        asked.append(None)
        return [names[0], "gone"]

    store.prune(needed)
    assert not asked  # nothing was to be removed
    for i in range(3, 6):
        names.append(store.publish(writer(i)))
        store.promote(names[-1])
        store.prune(needed)
    assert len(asked) == 3
    assert [version.name for version in store.versions()] == [names[0], *names[-3:]]
    store.prune(list)
    assert [version.name for version in store.versions()] == names[-3:]


def test_of_trainers_side_by_side_none_loses_what_it_is_about_to_promote(make: Callable[[], Registry]) -> None:
    trainers = 8
    published = Barrier(trainers)

    def train(number: int) -> str:
        store = make()
        name = store.publish(writer(number))
        published.wait(60)
        for _ in range(2):
            store.promote(name)
            store.prune()
            name = store.publish(writer(number))
        store.promote(name)
        store.prune()
        return name

    with ThreadPoolExecutor(trainers) as pool:
        names = list(pool.map(train, range(trainers)))
    store = make()
    assert len(set(names)) == trainers
    assert store.current() in names
    assert [version.promoted for version in store.versions()] == [True] * len(store.versions())
    assert len(store.versions()) in {3, 4}  # and the current one, where a later name was promoted before it


def test_rollback_goes_back_one_step_at_a_time(make: Callable[[], Registry]) -> None:
    store = make()
    names = [put(store, writer(i)) for i in range(3)]
    assert store.rollback() == names[1] == make().current()
    assert store.rollback() == names[0] == make().current()
    with pytest.raises(ModelError, match="nothing to roll back"):
        store.rollback()
    store.promote(names[2])
    assert make().current() == names[2]


def test_older_versions_come_newest_first_and_what_was_rolled_back_from_is_none(make: Callable[[], Registry]) -> None:
    store = make()
    names = [put(store, writer(i)) for i in range(3)]
    assert list(store.older(names[2])) == [names[1], names[0]]
    store.rollback()
    assert list(store.older(store.current() or "")) == [names[0]]
    assert list(store.older("99990101T000000Z")) == names[::-1]  # one that is gone


@pytest.mark.parametrize("version", ["20200101T000000Z", "..", ".", "", "../m", "/etc", "current"])
def test_a_version_that_is_not_there_is_refused(make: Callable[[], Registry], version: str) -> None:
    store = make()
    name = put(store, writer(1))
    with pytest.raises(ModelError, match="model list"):
        store.open(version)
    with pytest.raises(ModelError, match="model list"):
        store.promote(version)
    assert store.current() == name


def test_what_is_published_after_a_rollback_is_the_newest(make: Callable[[], Registry]) -> None:
    store = make()
    names = [put(store, writer(i)) for i in range(2)]
    store.rollback()
    newest = store.publish(writer(9))
    assert newest > names[1]
