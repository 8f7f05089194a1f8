"""What is remembered survives kills, handovers and new models: the same scores as without, by the worker's own loop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from aestream.service import state_topic as state_topics
from aestream.service import take_over as take_overs
from aestream.types import Changes, Partition, Start
from tests.unit.service.world import STEPS, Fate, Source, World, halfway, model, same, state_of, warming

pytestmark = pytest.mark.usefixtures("often")

MODELS = {0: "default@1", 200: "default@2", 320: "default@1"}


@pytest.fixture(scope="module")
def undisturbed() -> World:
    world = World(MODELS)
    world.work()
    assert sum(world.stored.committed.values()) == 3 * STEPS
    return world


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("once", [False, True], ids=["at least once", "exactly once"])
def test_whatever_ends_a_worker_its_successors_score_as_if_it_had_lived(
    seed: int, once: bool, undisturbed: World, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(seed)
    world, lives = World(MODELS, exactly_once=once), 0
    while sum(world.stored.committed.values()) < 3 * STEPS:
        what = rng.choice(["polls", "commits", "flushes", "stop"])
        world.work(Fate(**{what: int(rng.integers(0, 6))}))
        assert world.needed() <= world.kept()
        if rng.random() < 0.5:
            world.compact(rng)
        lives += 1
        assert lives < 100
    assert lives > 2
    assert not once or all(len(scores) == 1 for scores in world.scores().values())
    same(world, undisturbed)
    assert "not used" not in caplog.text


def delete(world: World) -> None:
    for log in state_of(world):
        log.clear()


def truncate(world: World) -> None:
    for log in state_of(world):
        del log[:-1]


def lose(world: World) -> None:
    """The last entry, as if it had never been written."""
    for log in state_of(world):
        last = [number for number, message in enumerate(log) if len(json.loads(message.key or b"")) > 5][-1]
        key = log[last].key
        log[:] = [message for number, message in enumerate(log) if message.key != key]


def damage(world: World) -> None:
    for log in state_of(world):
        log[:] = [replace(message, value=(message.value or b"")[:-1]) for message in log]


def write_late(world: World) -> None:
    """A former owner writes an entry as it was earlier, over the newer one, which compaction has removed."""
    for log in state_of(world):
        newest = [message for message in log if len(json.loads(message.key or b"")) > 5][-1]
        log[:] = [message for message in log if message.key != newest.key]
        stored, layout = newest.value or b"", model("default@1").pipeline.stream.store.layout
        at = 8 + layout.fields["offset"][1]  # type: ignore[index]
        earlier = int.from_bytes(stored[at : at + 8], "little") - 3
        log.append(replace(newest, value=stored[:at] + earlier.to_bytes(8, "little") + stored[at + 8 :]))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (delete, None),
        (truncate, "entries are not all there"),
        (lose, "entries are not all there"),
        (damage, "bytes instead of|marker cannot be read"),
        (write_late, "entries are not all there"),
    ],
)
def test_what_is_kept_is_not_used_unless_it_is_whole(
    harm: Callable[[World], None], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    halfway(world)
    since = {part.partition: offset for part, offset in world.stored.committed.items() if part.topic == "in"}
    harm(world)
    world.work(Fate(stop=3))
    assert warming(world, since) == 3 * 9
    told = [record.message for record in caplog.records if "not used" in record.message]
    assert len(told) == (0 if said is None else 1)
    assert all(re.search(said or "", text) for text in told)
    # what was of no use is gone, and what was kept since then is used
    caplog.clear()
    world.work()
    assert warming(world, since) == 3 * 9
    assert "not used" not in caplog.text


def test_a_late_write_is_ignored_while_the_newer_one_is_there(undisturbed: World) -> None:
    world = World(MODELS)
    halfway(world)
    for log in state_of(world):
        log.append(next(message for message in log if len(json.loads(message.key or b"")) > 5))
        stored = log[-1].value or b""
        log[-1] = replace(log[-1], value=(1).to_bytes(8, "little") + stored[8:])
    world.work()
    same(world, undisturbed)


class Moved(Source):
    """Its offsets were moved by somebody who is no worker."""

    def changes(self) -> Changes:
        found = super().changes()
        starts = {part: start._replace(ours=False) for part, start in found.starts.items()}
        return replace(found, starts=starts)


@pytest.mark.parametrize("offset", [0, 30, 100])
def test_offsets_that_an_operator_moved_begin_anew(offset: int, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    halfway(world)
    before = world.scores()
    world.stored.committed = {part: offset for part in world.stored.committed if part.topic == "in"}
    world.source = Moved
    world.work()
    assert warming(world, {0: offset, 1: offset}) == 3 * 9
    assert caplog.text.count(f"and 1 more partitions is not used: the group's offset was set to {offset}, and not") == 1
    if not offset:
        for place, scores in before.items():
            assert world.scores()[place][-1]["score"] == pytest.approx(scores[0]["score"], rel=1e-5)


def test_a_partition_that_goes_on_elsewhere_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    halfway(world)
    world.source = Jumping
    world.work()
    assert "offset was set to" in caplog.text
    assert sum(world.stored.committed.values()) == 3 * STEPS


class Jumping(Source):
    """A source whose first partition lost some records in the middle."""

    turn = 0

    def changes(self) -> Changes:
        found = super().changes()
        self.turn += 1
        if self.turn != 2:
            return found
        first = self._partitions[0]
        return replace(found, starts={first: Start(self._next[first], ours=False)})


def test_without_a_topic_the_last_records_are_seen_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(take_overs, "_SEEN_AGAIN", 10_000)
    world = World(topic=None)
    halfway(world)
    world.work()
    assert warming(world, {0: 0, 1: 0}) == 3 * 9
    assert not any(state_of(world))
    assert "stays in memory" not in caplog.text


def test_a_topic_that_is_missing_is_told_of_once_and_used_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(topic="away")
    halfway(world)
    assert caplog.text.count("topic away does not exist: create it") == 1
    monkeypatch.setattr(state_topics, "_RETRY_SECONDS", 0.0)
    world.stored.partitions["away"] = 1
    world.work()
    world.models = {0: "default@1", 1: "default@2"}
    world.work()
    assert world.stored.log[Partition("away", 0)]


def test_a_version_that_is_gone_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    halfway(world)
    for log in state_of(world):
        log[:] = [replace(m, value=(m.value or b"").replace(b"default@1", b"default@7")) for m in log]
        for number, message in enumerate(log):
            if len(json.loads(message.key or b"")) == 5:
                log[number] = replace(message, value=re.sub(rb'"next":\d+', b'"next":3', message.value or b""))
    world.work()
    assert caplog.text.count("version 7 is gone") == 1
    assert sum(world.stored.committed.values()) == 3 * STEPS


def test_a_replay_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.work(Fate(polls=5))
    world.patience = -1.0
    world.work()
    assert "entities begin anew, because more than" in caplog.text
    assert sum(world.stored.committed.values()) == 3 * STEPS
