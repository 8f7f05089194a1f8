"""The watcher's looks, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from aestream.errors import AestreamError, ModelError
from aestream.registry.local import LocalRegistry
from aestream.registry.watcher import Watcher


class Scene:
    """A store, a watcher over it, and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.registry = LocalRegistry(folder, "m")
        self.broken: dict[str, Exception] = {}
        self.failures: list[AestreamError] = []
        self.watcher = Watcher(self.registry, self.load, interval=3600, failed=self.failures.append)

    def publish(self) -> str:
        return self.registry.publish(lambda folder: (folder / "manifest.json").write_text("{}") and None)

    def load(self, version: str) -> str:
        if version in self.broken:
            raise self.broken[version]
        return f"loaded {version}"

    def look(self) -> str | None:
        self.watcher._look()
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


@pytest.mark.parametrize("error", [ModelError("damaged"), KeyError("files"), MemoryError()])
def test_a_version_that_does_not_load_is_reported_at_every_look_until_it_does(scene: Scene, error: Exception) -> None:
    name = scene.publish()
    scene.broken[name] = error
    assert scene.look() is scene.look() is None
    assert len(scene.failures) == 2
    scene.broken.clear()
    assert scene.look() == f"loaded {name}"


def test_going_back_from_a_damaged_version_tells_that_all_is_well(scene: Scene) -> None:
    good = scene.publish()
    assert scene.look() == f"loaded {good}"
    scene.broken[scene.publish()] = ModelError("damaged")
    assert scene.look() is None
    scene.registry.rollback()
    assert scene.look() == f"loaded {good}"
    assert len(scene.failures) == 1


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
