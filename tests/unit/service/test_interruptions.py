"""What ends, fails or is asked to stop at the wrong moment: nothing wrong is kept, and nothing that is kept is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import pytest

from aestream.errors import DeliveryError, TransportError
from aestream.pipeline import LoadedModel
from aestream.service import take_over as take_overs
from aestream.transport.memory import MemoryHistory, MemorySink
from aestream.types import Batch, Outgoing, Partition, Position
from tests.unit.service.world import (
    STATE,
    STEPS,
    Fate,
    Source,
    World,
    detector,
    halfway,
    model,
    same,
    warming,
)
from tests.unit.test_remembering import FIELDS, pipeline


@pytest.fixture(autouse=True)
def _often(often: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - the fixture sets the pace
    monkeypatch.setattr(take_overs, "_AWAIT_SECONDS", 0.0)


@pytest.fixture(scope="module")
def undisturbed() -> World:
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(take_overs, "_SEEN_AGAIN", 0)
        world.work()
    assert sum(world.stored.committed.values()) == 3 * STEPS
    return world


class Refusing(MemorySink):
    """Results are refused from the sixth batch on."""

    turn = 0

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        self.turn += messages.topic == "scores"
        if self.turn > 5:
            raise DeliveryError("denied")
        super().send(messages, keep=keep)


def test_a_batch_whose_results_are_refused_is_not_remembered(
    undisturbed: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(sink=Refusing)
    with pytest.raises(DeliveryError):
        world.work()
    assert 0 < sum(world.stored.committed.values()) < 3 * STEPS
    world.sink = MemorySink
    world.work()
    assert "not used" not in caplog.text
    same(world, undisturbed)


@pytest.mark.parametrize("flushes", range(3, 12))
@pytest.mark.parametrize("stop", [2, 4])
def test_a_worker_that_is_killed_while_it_ends_loses_nothing(
    stop: int, flushes: int, undisturbed: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.work(Fate(stop=stop, flushes=flushes))
    world.work()
    assert "not used" not in caplog.text
    same(world, undisturbed)


def other_features(version: str) -> LoadedModel:
    """Version 2 calls a feature of the same kind by another name: its entries look alike."""
    loaded = model("default@1")
    if version.endswith("1"):
        return loaded
    made = detector(1)
    other = pipeline(made, FIELDS)
    fitted = other.stream._fitted
    renamed = replace(fitted.schema, names=("other", *fitted.schema.names[1:]))
    constants = replace(fitted.constants, schema=renamed)
    other.stream._fitted = replace(fitted, constants=constants)
    return replace(loaded, pipeline=other, version="default@2")


def test_rows_of_other_features_are_not_taken_over(caplog: pytest.LogCaptureFixture) -> None:
    world = World(load=other_features)
    halfway(world)
    since = {part.partition: offset for part, offset in world.stored.committed.items() if part.topic == "in"}
    world.models = {0: "default@2"}
    world.work(Fate(stop=3))
    assert caplog.text.count("it was kept by a model of other features") == 1
    assert warming(world, since) == 3 * 9


class Ending(Source):
    """Can be asked to end by whoever has the latest one."""

    latest: Source

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        Ending.latest = self
        return super().poll(timeout, read=read)


class Past(MemoryHistory):
    """The worker is asked to end while the past is read for the second model."""

    def between(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[Batch]:
        if sum(self._broker.committed.values()) >= 200 and Ending.latest.service is not None:
            Ending.latest.service.stop.set()
        yield from super().between(starts, ends)


def test_a_stop_while_a_new_model_takes_over_scores_nothing_more() -> None:
    world = World({0: "default@1", 200: "default@9"}, source=Ending, history=Past)  # another layout: it takes over
    world.work()
    assert sum(world.stored.committed.values()) == 200
    assert len(world.scores()) == 200


class Late(MemoryHistory):
    """The worker is asked to end as soon as it begins to take its first partitions over."""

    def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, int]]:
        if Ending.latest.service is not None:
            Ending.latest.service.stop.set()
        return super().bounds(partitions)


def test_a_stop_at_the_beginning_of_a_take_over_scores_nothing() -> None:
    world = World(source=Ending, history=Late)
    world.work()
    assert not world.scores()
    assert not world.stored.committed


class Slow(MemoryHistory):
    """The broker takes its time to answer: longer than a worker may go without a sign of life."""

    asking: ClassVar[list[bool]] = []

    def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, int]]:
        if Ending.latest.service is not None:
            self.asking.append(Ending.latest.service.is_asking())
        return super().bounds(partitions)


def test_a_worker_that_asks_for_the_bounds_of_its_partitions_counts_as_alive() -> None:
    World(source=Ending, history=Slow).work()
    assert Slow.asking
    assert all(Slow.asking)


class NoMore(MemoryHistory):
    """Reads up to the end, as a broker does: whoever asks for more waits in vain."""

    def between(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[Batch]:
        for part, end in ends.items():
            assert starts[part] >= end or end <= len(self._broker.log[part])
        yield from super().between(starts, ends)


class Beyond(Source):
    def positions(self) -> Mapping[Partition, Position]:
        return {}


def test_a_commit_beyond_the_end_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    world = World(source=Beyond, history=NoMore)
    halfway(world)
    world.stored.committed[Partition("in", 0)] = 10_000
    world.work()
    assert caplog.text.count("before 10000, where it goes on") == 1


class Unreadable(MemoryHistory):
    """The input cannot be read, though the broker answers."""

    def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, int]]:
        if any(part.topic == "in" for part in partitions):
            raise TransportError("no leader")
        return super().bounds(partitions)


def test_a_past_that_cannot_be_read_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    world = World(history=Unreadable)
    world.work()
    assert sum(world.stored.committed.values()) == 3 * STEPS
    assert "entities begin anew, because the last records cannot be read: no leader" in caplog.text


def test_a_version_that_is_damaged_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    def damaged(version: str) -> LoadedModel:
        if version == "1":  # as the registry is asked, of one to be seen again
            raise KeyError("weights")
        return model(version)

    world = World(load=damaged)
    world.work(Fate(commits=5))
    world.models = {0: "default@2"}
    world.work()
    assert "model default@1 cannot be loaded: KeyError" in caplog.text
    assert sum(world.stored.committed.values()) == 3 * STEPS


def test_entries_without_a_marker_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    halfway(world)
    for number in (0, 1):
        log = world.stored.log[Partition(STATE, number)]
        log[:] = [message for message in log if (message.key or b"").count(b",") > 4]
    world.work()
    assert caplog.text.count("entries, and no marker") == 1
