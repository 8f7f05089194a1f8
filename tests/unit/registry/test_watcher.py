"""The watcher's looks, one by one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aestream.errors import ModelError
from aestream.registry.local import LocalRegistry
from aestream.registry.watcher import Failure, Watcher
from tests.stores import put


class Scene:
    """A store, a watcher over it, and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.registry = LocalRegistry(folder, "m")
        self.pointer = folder / "m/current"
        self.broken: dict[str, Exception] = {}
        self.failures: list[tuple[Failure, bool]] = []
        self.said: list[str | None] = []
        self.watcher = Watcher(self.registry, self.load, interval=3600, listener=self)

    def publish(self, *, broken: bool = False) -> str:
        name = put(self.registry)
        if broken:
            self.broken[name] = ModelError("damaged")
        return name

    def load(self, version: str) -> str:
        if version in self.broken:
            raise self.broken[version]
        assert self.registry.open(version).is_dir()
        return f"loaded {version}"

    def loaded(self, version: str) -> None:
        self.said.append(f"loaded {version}")

    def unchanged(self, version: str | None) -> None:
        self.said.append(version)

    def failed(self, failure: Failure, *, news: bool) -> None:
        self.failures.append((failure, news))

    def look(self, *, asked: bool = False) -> str | None:
        self.watcher._look(asked=asked)
        return self.watcher.take()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_version_is_handed_over_once(scene: Scene) -> None:
    assert scene.look() is None
    name = scene.publish()
    assert scene.look() == f"loaded {name}"
    assert scene.look() is None
    newer = scene.publish()
    assert scene.look() == f"loaded {newer}"
    scene.registry.rollback()
    assert scene.look() == f"loaded {name}"
    assert scene.failures == []


@pytest.mark.parametrize("error", [ModelError("damaged"), KeyError("files"), MemoryError()])
def test_a_version_that_does_not_load_is_reported_at_every_look_until_it_does(scene: Scene, error: Exception) -> None:
    name = scene.publish()
    scene.broken[name] = error
    assert scene.look() is scene.look() is None
    assert [news for _, news in scene.failures] == [True, False]
    assert scene.watcher.failure == scene.failures[0][0]
    scene.broken.clear()
    assert scene.look() == f"loaded {name}"
    assert scene.watcher.failure is None


def test_going_back_from_a_damaged_version_tells_that_all_is_well(scene: Scene) -> None:
    good = scene.publish()
    assert scene.look() == f"loaded {good}"
    scene.publish(broken=True)
    assert scene.look() is None
    scene.registry.rollback()
    assert scene.look() is None  # it is in use
    assert scene.said == [f"loaded {good}", good]
    assert len(scene.failures) == 1
    assert scene.watcher.failure is None


def test_without_a_model_the_newest_older_one_that_loads_serves(scene: Scene) -> None:
    scene.publish()
    good = scene.publish()
    scene.publish(broken=True)
    damaged = scene.publish(broken=True)
    assert scene.look() == f"loaded {good}"
    assert scene.look() is scene.look() is None
    assert [(failure.version, failure.serving) for failure, _ in scene.failures] == [(damaged, good)] * 3
    assert [news for _, news in scene.failures] == [True, False, False]
    assert scene.said == []
    newest = scene.publish()
    assert scene.look() == f"loaded {newest}"
    assert scene.watcher.failure is None


def test_one_that_was_rolled_back_from_never_serves(scene: Scene) -> None:
    first = scene.publish()
    second = scene.publish(broken=True)
    scene.publish()
    scene.registry.rollback()
    assert scene.registry.current() == second
    assert scene.look() == f"loaded {first}"
    scene.registry.rollback()
    scene.broken[first] = ModelError("damaged too")
    other = Scene(scene.pointer.parents[1])
    other.broken = scene.broken
    assert other.look() is None
    assert other.failures[0][0] == Failure(first, "damaged too", None)


def test_one_that_is_in_use_stays_however_the_pointer_moves(scene: Scene) -> None:
    scene.publish(broken=True)
    good = scene.publish()
    assert scene.look() == f"loaded {good}"
    scene.publish(broken=True)
    assert scene.look() is None
    scene.registry.promote(scene.registry.versions()[0].name)
    assert scene.look() is None
    scene.pointer.write_text("../..")
    assert scene.look() is None
    scene.pointer.unlink()
    assert scene.look() is None
    assert [(failure.serving, news) for failure, news in scene.failures] == [(good, True)] * 4
    assert [failure.version is None for failure, _ in scene.failures] == [False, False, True, True]


def test_a_pointer_to_a_version_that_is_gone_is_reported_and_an_older_one_serves(scene: Scene) -> None:
    good, gone = scene.publish(), scene.publish()
    shutil.rmtree(scene.registry.open(gone))
    assert scene.look() == f"loaded {good}"
    assert scene.failures[0][0].version == gone


def test_a_look_that_is_asked_for_always_says_what_it_found(scene: Scene) -> None:
    assert scene.look(asked=True) is None
    name = scene.publish()
    assert scene.look(asked=True) == f"loaded {name}"
    assert scene.look(asked=True) is None
    assert scene.said == [None, f"loaded {name}", name]
    scene.broken[name] = ModelError("damaged by now")
    assert scene.look() is None
    assert scene.failures == []  # nobody looked at the files
    for _ in range(2):
        assert scene.look(asked=True) is None
    assert scene.look() is None
    assert scene.failures == [(Failure(name, "damaged by now", name), news) for news in (True, True, False)]
    scene.broken.clear()
    assert scene.look() is None
    assert scene.said[3:] == [name]


def test_the_thread_looks_at_once_and_when_told(scene: Scene) -> None:
    name = scene.publish()
    scene.watcher.start()
    try:
        assert _soon(scene.watcher) == f"loaded {name}"
        newer = scene.publish()
        scene.watcher.look_now()
        assert _soon(scene.watcher) == f"loaded {newer}"
    finally:
        scene.watcher.close()


def _soon(watcher: Watcher[str]) -> str:
    for _ in range(1000):
        if (found := watcher.take()) is not None:
            return found
        watcher._stopped.wait(0.01)
    raise AssertionError("nothing was loaded in 10 s")
