"""What ends, fails or is asked to stop at the wrong moment: nothing wrong is kept, and nothing that is kept is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pytest

from aestream.errors import DeliveryError
from aestream.service import ledger as ledgers
from aestream.service import take_over as take_overs
from aestream.transport.memory import MemoryHistory, MemorySink
from aestream.types import Batch, Outgoing, Partition
from tests.unit.service.test_ledger import (
    STEPS,
    Fate,
    Source,
    World,
    same,
)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_SECONDS", 0.0)
    monkeypatch.setattr(ledgers, "_SHARE", 1e9)
    monkeypatch.setattr(ledgers, "_AT_ONCE", 1)
    monkeypatch.setattr(take_overs, "_SEEN_AGAIN", 0)
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


class Ending(Source):
    """Can be asked to end by whoever has the latest one."""

    latest: Source

    def poll(self, timeout: float) -> Batch:
        Ending.latest = self
        return super().poll(timeout)


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
