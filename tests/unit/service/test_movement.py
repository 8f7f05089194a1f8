"""When moved entities ask for a training: by what commits say, and never for ever."""

from __future__ import annotations

import datetime
import logging

import pytest

from aestream.errors import TransportError
from aestream.service.movement import Movement
from aestream.types import Partition, Standing


class Scene:
    """A group whose commits the test writes, and a clock that it moves."""

    def __init__(self, share: float = 0.2) -> None:
        self.now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        self.said: dict[Partition, Standing] = {}
        self.error: TransportError | None = None
        self.reads = 0
        self.movement = Movement(self._read, share=share)

    def _read(self) -> dict[Partition, Standing]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.said

    def says(self, *parts: tuple[str, int, int]) -> None:
        self.said = {
            Partition("in", number): Standing(tuple(versions.split(",")), entities, moved)
            for number, (versions, entities, moved) in enumerate(parts)
        }

    def after(self, minutes: float, version: str | None) -> str | None:
        self.now += datetime.timedelta(minutes=minutes)
        return self.movement.reason(version, self.now)


def test_it_asks_when_more_than_the_share_has_moved_over_all_partitions() -> None:
    scene = Scene()
    scene.says(("1", 600, 300), ("1", 900, 0))
    assert scene.after(1, "1") is None  # 20 % is not more than 20 %
    scene.says(("1", 600, 300), ("1", 600, 72))
    assert scene.after(1, "1") == "31% of 1,200 entities have moved"


def test_it_looks_about_once_a_minute_and_not_without_a_model() -> None:
    scene = Scene()
    scene.says(("1", 10, 0))
    for _ in range(12):
        scene.after(5 / 60, "1")
    assert scene.reads == 1
    scene.after(5 / 60, "1")
    assert scene.reads == 2
    assert scene.after(5, None) is None
    assert scene.reads == 2


def test_a_share_that_stays_up_asks_for_nothing_more() -> None:
    # 1. Many have moved, and a new version is trained. 2. It is used, and as many have moved as before.
    # Result: no second training, however long that lasts. 3. Few have moved, then many. Result: another one.
    scene = Scene()
    scene.says(("1", 10, 5))
    assert scene.after(1, "1") is not None
    scene.says(("2", 10, 5))
    assert not any(scene.after(30, "2") for _ in range(10))
    scene.says(("2", 10, 1))
    assert scene.after(1, "2") is None
    scene.says(("2", 10, 5))
    assert scene.after(1, "2") is not None


def test_a_second_one_is_an_hour_later_at_the_earliest() -> None:
    scene = Scene()
    scene.says(("1", 10, 5))
    assert scene.after(1, "1") is not None
    scene.says(("2", 10, 0))
    scene.after(1, "2")
    scene.says(("2", 10, 5))
    assert [scene.after(10, "2") is not None for _ in range(6)] == [False] * 5 + [True]


def test_a_training_that_failed_is_tried_again_after_an_hour() -> None:
    scene = Scene()
    scene.says(("1", 10, 5))
    asked = []
    for _ in range(13):
        asked.append(scene.after(10, "1") is not None)
        scene.movement.failed()
    assert asked == [i % 6 == 0 for i in range(13)]


def test_a_rollback_is_not_undone() -> None:
    scene = Scene()
    scene.says(("1", 10, 5))
    assert scene.after(1, "1") is not None
    scene.says(("2", 10, 5))
    scene.after(1, "2")
    scene.says(("1", 10, 5))
    assert not any(scene.after(30, "1") for _ in range(10))


def test_what_other_versions_say_does_not_count() -> None:
    scene = Scene()
    scene.says(("1", 600, 600), ("2", 400, 400))
    assert scene.after(1, "2") is None  # most entities still have the old one
    scene.says(("1", 400, 400), ("2", 600, 0))
    assert scene.after(1, "2") is None
    scene.says(("1", 400, 0), ("1,2", 600, 300))
    assert scene.after(1, "2") == "50% of 600 entities have moved"


def test_nothing_is_asked_for_without_entities() -> None:
    scene = Scene(share=0.0)
    assert scene.after(1, "1") is None
    scene.says(("1", 0, 0))
    assert scene.after(1, "1") is None


def test_after_a_restart_it_remembers_what_was_asked_for() -> None:
    scene = Scene()
    scene.movement.asked_before(scene.now - datetime.timedelta(minutes=30))
    scene.says(("2", 10, 5))
    assert not any(scene.after(10, "2") for _ in range(10))
    scene.says(("2", 10, 0))
    scene.after(1, "2")
    scene.says(("2", 10, 5))
    assert scene.after(1, "2") is not None


def test_a_group_that_cannot_be_read_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.says(("1", 10, 5))
    scene.error = TransportError("group g is denied to this user: grant DESCRIBE on it")
    with caplog.at_level(logging.WARNING, "aestream"):
        assert not any(scene.after(1, "1") for _ in range(5))
        scene.error = None
        assert scene.after(1, "1") is not None
        scene.error = TransportError("no answer")
        scene.after(1, "1")
    denied, away = [record.getMessage() for record in caplog.records]
    assert denied.endswith("the schedule alone counts: group g is denied to this user: grant DESCRIBE on it")
    assert away.endswith("no answer")


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    scene = Scene()
    scene.says(("1", 100, 50))
    scene.movement.asked_before(scene.now + datetime.timedelta(days=7))
    scene.movement.failed()
    assert scene.after(1, "1") is not None
    scene.says(("1", 100, 0))
    assert scene.after(-24 * 60, "1") is None  # seen to be better
    scene.says(("1", 100, 50))
    assert scene.after(1, "1") is not None
