"""The trainer service by a clock that the test owns: when it trains, and what a failed run does."""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from aestream.errors import DataError, TransportError
from aestream.features.schema import FeatureSchema
from aestream.inference.infer import Inference
from aestream.registry.local import LocalRegistry
from aestream.sampling.sample import Sample
from aestream.service.metrics import TrainerMetrics
from aestream.service.movement import Movement
from aestream.service.schedule import parse
from aestream.service.service import Service
from aestream.service.stop import Stop
from aestream.service.trainer import Trainer, TrainerService
from aestream.types import Partition, Standing
from tests import manifests
from tests.stores import put

HOUR = 3600.0


class TinyDetector:
    """As little of a detector as the trainer needs, so that a run takes no time."""

    threshold = 1.0
    warnings = ()
    decisions = ()
    window = 1
    own_entities = 0

    def fit_matrix(
        self, matrix: np.ndarray, schema: FeatureSchema, *, progress: Callable[[Any], None], **_: Any
    ) -> Self:
        assert matrix.shape == (100, len(schema))
        progress(None)
        return self

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        manifests.write(folder, metadata=facts)


SCHEMA = FeatureSchema.of_names(["a", "b"])


class Waiting(Stop):
    """Time that passes by `wait`."""

    def __init__(self, wait: Callable[[float], bool]) -> None:
        super().__init__()
        self._wait = wait

    def wait(self, seconds: float) -> bool:
        return self._wait(seconds)


class Scene:
    """A store, a sampler that may fail, and time that passes only while the service waits."""

    def __init__(self, folder: Path, schedule: str, *, hours: float) -> None:
        self.now = datetime.datetime.now(datetime.UTC)
        self.end = self.now + datetime.timedelta(hours=hours)
        self.begun = self.now
        self.registry = LocalRegistry(folder, "m")
        self.error: Exception | None = None
        self.runs: list[float] = []  # hours after the start
        self.during: Callable[[], None] = lambda: None
        self.each_wait: Callable[[], None] = lambda: None
        self.metrics = TrainerMetrics(CollectorRegistry())
        self.stopped = False
        trainer = Trainer(self, self.registry, TinyDetector, min_records=50)  # type: ignore[arg-type]
        surroundings = Service(stale_after=60)
        surroundings.stop = Waiting(self.wait)
        self.said: dict[Partition, Standing] = {}  # by the workers' commits
        movement = Movement(lambda: self.said, share=0.2)
        self.service = TrainerService(
            trainer,
            parse(schedule),
            metrics=self.metrics,
            service=surroundings,
            movement=movement,
            now=lambda: self.now,
        )

    def wait(self, seconds: float) -> bool:
        self.now += datetime.timedelta(seconds=seconds)
        self.each_wait()
        return self.stopped or self.now > self.end

    def sample(self, *, progress: Callable[[int, int], None]) -> Sample:
        self.runs.append(round((self.now - self.begun).total_seconds() / HOUR, 3))
        self.during()
        progress(100, 100)
        if self.error is not None:
            raise self.error
        base = np.random.default_rng(len(self.runs)).normal(size=(100, 1))
        return Sample(np.hstack([base, 2 * base]), SCHEMA, Inference(), {}, {})

    def hours_ago(self, hours: float) -> Callable[[Path], None]:
        created = self.now - datetime.timedelta(hours=hours)
        return lambda folder: manifests.write(folder, created=created.isoformat(timespec="seconds"))

    def says(self, moved: int) -> None:
        """All workers use the current version, and so many of ten entities have moved."""
        current = self.registry.current()
        self.said = {Partition("in", 0): Standing((current or "",), 10, moved)}

    def outcome(self, name: str) -> float:
        return self.metrics.registry.get_sample_value("aestream_trainer_runs_total", {"outcome": name}) or 0.0


def test_at_once_without_a_model_then_on_schedule(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "every 6h", hours=13)
    scene.service.run()
    assert scene.runs == [0, 6, 12]
    assert len(scene.registry.versions()) == 3
    assert scene.outcome("success") == 3
    assert scene.registry.current() == scene.registry.versions()[-1].name


def test_a_missed_run_is_made_up_for_once(tmp_path: Path) -> None:
    first = Scene(tmp_path, "every 6h", hours=1)
    first.service.run()
    later = Scene(tmp_path, "every 6h", hours=7)
    later.now = later.begun = later.now + datetime.timedelta(hours=40)
    later.end = later.begun + datetime.timedelta(hours=7)
    later.service.run()
    assert later.runs == [0, 6]


def test_a_clock_that_is_set_back_holds_up_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(tmp_path, "every 6h", hours=1e6)
    year = datetime.timedelta(days=365)

    def set_back() -> None:
        if scene.now > scene.begun + datetime.timedelta(hours=1):
            scene.now -= year
            scene.begun = scene.now
            scene.each_wait = stop_after_the_second

    def stop_after_the_second() -> None:
        scene.stopped = len(scene.runs) > 1

    scene.each_wait = set_back
    with caplog.at_level("INFO"):
        scene.service.run()
    assert scene.runs == pytest.approx([0, 6], abs=0.01)
    assert caplog.text.count("the clock was set back: next training at") == 1


def test_after_a_restart_it_waits_for_what_is_due(tmp_path: Path) -> None:
    Scene(tmp_path, "every 6h", hours=1).service.run()
    again = Scene(tmp_path, "every 6h", hours=7)
    again.service.run()
    assert again.runs == pytest.approx([6], abs=0.01)


def test_after_a_kill_before_the_promotion_it_does_not_wait_with_the_old_model(tmp_path: Path) -> None:
    # 1. A model of five hours ago. 2. A run of one hour ago, killed between publishing and promoting. 3. A restart.
    # Result: it trains when the run is due that the old model tells of, and that model serves until then.
    scene = Scene(tmp_path, "every 6h", hours=2)
    old = put(scene.registry, scene.hours_ago(5))
    scene.registry.publish(scene.hours_ago(1))
    used: list[str | None] = []
    scene.during = lambda: used.append(scene.registry.current())
    scene.service.run()
    assert scene.runs == pytest.approx([1], abs=0.01)
    assert used == [old]
    assert scene.registry.current() == scene.registry.versions()[-1].name


def test_a_restart_after_a_rollback_does_not_undo_it_before_the_schedule_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "every 6h", hours=6)
    for hours in (7, 1):
        put(scene.registry, scene.hours_ago(hours))
    scene.registry.rollback()
    scene.service.run()
    assert scene.runs == pytest.approx([5], abs=0.01)


@pytest.mark.parametrize("error", [DataError("too few"), TransportError("no broker"), ZeroDivisionError()])
def test_a_failed_run_keeps_the_model_and_waits_for_the_next(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    Scene(tmp_path, "every 6h", hours=1).service.run()
    scene = Scene(tmp_path, "every 6h", hours=13)
    before = scene.registry.current()
    scene.error = error
    with caplog.at_level(logging.ERROR, "aestream"):
        scene.service.run()
    assert scene.runs == pytest.approx([6, 12], abs=0.01)
    assert scene.outcome("failed") == 2
    assert scene.registry.current() == before
    assert "the current model stays" in caplog.text


def test_without_a_model_a_failed_run_is_soon_tried_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "every 6h", hours=1)
    scene.error = DataError("nothing there yet")
    scene.during = lambda: setattr(scene, "error", None) if len(scene.runs) == 4 else None
    scene.service.run()
    assert len(scene.runs) == 4
    assert scene.runs[-1] < 0.1
    assert (scene.outcome("failed"), scene.outcome("success")) == (3, 1)


def test_a_stop_ends_a_run_at_its_next_step_and_publishes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "every 6h", hours=13)
    scene.during = lambda: setattr(scene, "stopped", True)
    scene.service.run()
    assert scene.runs == [0]
    assert scene.registry.current() is None
    assert scene.outcome("failed") == scene.outcome("success") == 0


def test_who_asks_is_trained_for_at_once_and_then_the_schedule_goes_on_from_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "every 6h", hours=13)
    times = [scene.now + datetime.timedelta(hours=4)]

    def ask_once() -> None:
        if times and scene.now >= times[0]:
            times.clear()
            scene.service.train_now()

    scene.each_wait = ask_once
    scene.service.run()
    assert scene.runs == [0, 4, 10]


def test_who_asks_during_a_run_gets_one_more_however_often(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(tmp_path, "off", hours=1)
    scene.service.train_now()

    def ask_often() -> None:
        if len(scene.runs) == 1:
            for _ in range(3):
                scene.service.train_now()

    scene.during = ask_often
    with caplog.at_level(logging.INFO, "aestream"):
        scene.service.run()
    assert scene.runs == [0, 0]
    assert caplog.text.count("another run follows") == 1


def test_moved_entities_are_trained_for_at_once_and_then_the_schedule_goes_on_from_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path, "every 6h", hours=13)
    scene.each_wait = lambda: scene.says(4 if scene.now - scene.begun > datetime.timedelta(hours=4) else 1)
    with caplog.at_level(logging.INFO, "aestream"):
        scene.service.run()
    assert scene.runs == pytest.approx([0, 4, 10], abs=0.02)
    assert "40% of 10 entities have moved: training again" in caplog.text
    reasons = [version.manifest.metadata.get("reason") for version in scene.registry.versions()]
    assert reasons == [None, "40% of 10 entities have moved", None]


def test_a_failed_training_for_moved_entities_is_tried_again_after_an_hour(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "off", hours=2.5)
    put(scene.registry)
    scene.error = DataError("too few")
    scene.each_wait = lambda: scene.says(4)
    scene.service.run()
    assert scene.runs == pytest.approx([0, 1, 2], abs=0.05)
    assert scene.outcome("failed") == 3


def test_after_a_restart_entities_that_are_still_moved_ask_for_nothing(tmp_path: Path) -> None:
    first = Scene(tmp_path, "off", hours=2)
    put(first.registry)
    first.each_wait = lambda: first.says(4)
    first.service.run()
    again = Scene(tmp_path, "off", hours=5)
    again.each_wait = lambda: again.says(4)
    again.service.run()
    assert (len(first.runs), len(again.runs)) == (1, 0)


def test_versions_that_workers_need_are_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "off", hours=1)
    trainer = Trainer(scene, LocalRegistry(tmp_path, "m", keep=2), TinyDetector, min_records=50)  # type: ignore[arg-type]
    oldest = trainer.run().version
    trainer.needed = lambda: [oldest]
    later = [trainer.run().version for _ in range(4)]
    assert [version.name for version in scene.registry.versions()] == [oldest, *later[-2:]]


def test_off_is_not_tried_again_when_a_run_that_was_asked_for_fails(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "off", hours=10)
    scene.error = DataError("nothing there yet")
    scene.service.train_now()
    scene.service.run()
    assert scene.runs == [0]


@pytest.mark.parametrize("pointer", ["", "../..", "20200101T000000Z", None])
def test_a_store_without_a_usable_current_version_is_trained_for_at_once(
    tmp_path: Path, pointer: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    Scene(tmp_path, "every 6h", hours=1).service.run()
    scene = Scene(tmp_path, "every 6h", hours=1)
    if pointer is None:
        (tmp_path / "m/current").unlink()
    else:
        (tmp_path / "m/current").write_text(pointer)
    scene.error = DataError("nothing there yet")
    scene.during = lambda: setattr(scene, "error", None) if len(scene.runs) == 2 else None
    with caplog.at_level(logging.WARNING, "aestream"):
        scene.service.run()
    assert scene.outcome("success") == 1
    assert scene.runs == pytest.approx([0, 30 / HOUR], abs=0.001)
    assert "there is still no model" in caplog.text


def test_off_never_trains(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "off", hours=100)
    scene.service.run()
    assert scene.runs == []


@pytest.mark.parametrize(
    "manifest", ["{}", "[]", '"x"', *(manifests.text(created=time) for time in (None, "soon", "2026-01-01"))]
)
def test_a_manifest_without_a_time_counts_as_no_run(tmp_path: Path, manifest: str) -> None:
    def write(folder: Path) -> None:
        (folder / "manifest.json").write_text(manifest)

    put(LocalRegistry(tmp_path, "m"), write)
    scene = Scene(tmp_path, "every 6h", hours=1)
    scene.service.run()
    assert scene.runs == [0]


def test_what_the_sample_covers_and_lacks_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, "off", hours=1)
    sample = replace(
        scene.sample(progress=lambda _read, _wanted: None),
        timestamps=np.arange(100) * 36_000 + 1_795_176_000_000,
        warnings=["an hour is not a day"],
        keys=["a", "b"] * 48 + ["c", "d", "e", "f"],
        remedy="wait",
    )
    monkeypatch.setattr(scene, "sample", lambda *, progress: sample)  # noqa: ARG005
    scene.service.train_now()
    with caplog.at_level(logging.INFO):
        scene.service.run()
    assert re.search(r"trained on 100 records that cover 59 minutes, from 2026-11-20 \S+ to \S+ UTC", caplog.text)
    assert "the sample holds 6 entities (records of each: 1 in the median, at least 1), 0 of them with" in caplog.text
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warned[0] == "an hour is not a day"
    assert warned[1].startswith("4 of the 6 entities in the sample have fewer than 10 records")
