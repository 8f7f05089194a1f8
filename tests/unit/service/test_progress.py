"""When a worker counts as stuck: by what can be read and what is committed, while the loop looks."""

from __future__ import annotations

from aestream.service.progress import Progress
from aestream.types import Partition, Position
from tests.unit.service.clock import Clock

ONE, TWO = Partition("in", 0), Partition("in", 1)


class Loop:
    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress(timeout=30, clock=self.clock)

    def runs(
        self, seconds: int, readable: dict[Partition, int], committed: dict[Partition, int], *, done: int = 0
    ) -> str | None:
        """Look once a second; `done` records of the first partition are committed each time."""
        said = None
        for _ in range(seconds):
            self.clock.now += 1
            committed[ONE] += done
            places = {part: Position(count, 1.0, count) for part, count in readable.items()}
            said = said or self.progress.look(places, committed)
        return said


def test_records_that_are_not_read_are_a_stall() -> None:
    loop = Loop()
    assert loop.runs(29, {ONE: 7, TWO: 0}, {ONE: 0, TWO: 0}) is None
    said = loop.runs(5, {ONE: 7, TWO: 0}, {ONE: 0, TWO: 0})
    assert said == "7 records of in/0 can be read, and none was scored for 31 s"


def test_each_commit_and_each_look_without_work_begins_anew() -> None:
    loop = Loop()
    for committed in range(10):
        assert loop.runs(29, {ONE: 7}, {ONE: committed}) is None
    for _ in range(10):
        assert loop.runs(20, {ONE: 7}, {ONE: 10}) is None
        assert loop.runs(1, {ONE: 0}, {ONE: 10}) is None
    for _ in range(10):  # no answer from the broker
        assert loop.runs(20, {ONE: 7}, {ONE: 10}) is None
        assert loop.runs(1, {}, {ONE: 10}) is None


def test_time_in_which_nobody_looks_does_not_count() -> None:
    loop = Loop()
    for _ in range(10):
        loop.clock.now += 600
        assert loop.runs(1, {ONE: 7}, {ONE: 0}) is None


def test_one_partition_among_others_may_wait_longer_for_its_turn() -> None:
    loop = Loop()
    committed = {ONE: 0, TWO: 5}
    assert loop.runs(140, {ONE: 10**6, TWO: 3}, committed, done=100) is None
    assert loop.runs(20, {ONE: 10**6, TWO: 3}, committed, done=100) == (
        "3 records of in/1 can be read, and none was scored for 151 s"
    )


def test_what_an_open_transaction_holds_back_is_no_stall() -> None:
    loop = Loop()
    for _ in range(1000):
        loop.clock.now += 1
        assert loop.progress.look({ONE: Position(9, 100.0, 0)}, {ONE: 3}) is None
