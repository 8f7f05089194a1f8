"""What happens to the model store: no room, no right to write, files cut or changed. Scores go on through all of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aestream.registry.local import LocalRegistry
from tests.chaos.conftest import Stage
from tests.chaos.form import some
from tests.kafka import records
from tests.kafka.service import Service

WEIGHTS = "model.safetensors"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def tamper(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("words", "damage"), some([("truncated", truncate), ("tampered with", tamper)]))
def test_a_model_file_that_is_damaged(stage: Stage, words: str, damage: Callable[[Path], None]) -> None:
    # 1. A worker scores with the second of two versions. 2. That one's file is damaged. Result: the worker goes on with
    # what it has, and says so. 3. It is killed and starts again. Result: the older version serves, and it is said.
    # 4. A new version is published. Result: that one serves.
    with stage(f"model file {words}, then kill -9") as scene:
        store = LocalRegistry(scene.folder / "models", "default")
        older = store.current()
        current = records.train(scene.folder / "models", seed=1)
        worker = scene.worker()
        scene.feed.start()
        scene.goes_on()
        with scene.fault():
            damage(store.open(current) / WEIGHTS)
            worker.signal(signal.SIGHUP)
            worker.logged(f"model default@{current} can no longer be loaded; this worker still has it in memory")
        worker.kill()
        restarted = scene.worker(ready=False)
        scene.recovers()
        scene.says(f"default@{current} cannot be used, default@{older} is used instead", worker=restarted)
        assert restarted.metric("aestream_model_last_reload_successful") == 0
        assert restarted.metric('aestream_model_reloads_total{status="failed"}') >= 1
        newest = records.train(scene.folder / "models", seed=2)
        restarted.logged(f"scoring with model default@{newest}")
        scene.goes_on()
        scene.finish()


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """A file system of its own at a folder, with the folder's content, and no room for more."""
    if os.geteuid():
        pytest.skip("only root can mount a file system")
    content = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
    try:
        for path, found in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(found)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def without_room(folder: Path) -> Iterator[None]:
    """The disk is full."""
    ballast = folder / "ballast"
    disk = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_bsize)
    yield
    ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The disk cannot be written, as after an error."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    some(
        [
            ("model store on a full disk", without_room, "No space left on device"),
            ("model store read-only", read_only, "Read-only file system"),
        ]
    ),
)
def test_a_store_that_cannot_be_written(stage: Stage, name: str, harm: Callable[[Path], object], words: str) -> None:
    # 1. A worker and a trainer. 2. The store cannot be written, and the trainer is to train. Result: it says why, in
    # one line, and stays; the worker goes on. 3. The store can be written again. Result: a new version is trained and
    # serves.
    with stage(name) as scene, mounted(scene.folder / "models"):
        worker = scene.worker()
        scene.feed.start()
        scene.goes_on(1000)
        settings = scene.settings | {"trainer__schedule": "every 24h", "trainer__min_records": "100"}
        with Service(["trainer"], settings=settings, folder=scene.folder) as trainer:
            trainer.logged("next training")
            with scene.fault(), harm(scene.folder / "models"):  # type: ignore[attr-defined]
                trainer.signal(signal.SIGHUP)
                trainer.logged("training failed")
                scene.goes_on()
            (line,) = [line for line in trainer.log.splitlines() if " error " in line]
            assert "cannot be written" in line
            assert words in line
            assert "the current model stays" in line
            scene.says("training failed", worker=trainer)
            trainer.signal(signal.SIGHUP)
            trainer.logged("trained on")
            worker.logged("scoring with model .*\n(.*\n)*.*scoring with model")
            assert trainer.stop() == 0, trainer.log
            assert "Traceback" not in trainer.log
        scene.finish()
