"""What is remembered survives kills, handovers and new models: the same scores as without, by the worker's own loop."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from aestream.errors import AestreamError, ModelError
from aestream.messages.dead_letters import InvalidLimits
from aestream.pipeline import LoadedModel
from aestream.service import ledger as ledgers
from aestream.service import state_topic as state_topics
from aestream.service import take_over as take_overs
from aestream.service.ledger import Ledger
from aestream.service.membership import GroupWatch
from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.service.replay import Replay
from aestream.service.service import Service
from aestream.service.state_topic import StateTopic
from aestream.service.take_over import TakeOver, going_on
from aestream.service.worker import Worker
from aestream.transport.delivery import AtLeastOnce
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemorySink, MemorySource, MemoryTopics, Message
from aestream.types import Batch, Changes, Partition, Start
from tests.unit.test_remembering import FIELDS, broker, pipeline, trained

STATE = "state"
TOPICS = ("scores", "anomalies", "dead", STATE)
STEPS = 160


class Killed(Exception):  # noqa: N818 - not an error
    """The process ends here, without another word."""


@dataclass
class Fate:
    """When the worker is killed, or asked to stop: after so many polls, commits or flushes of its state."""

    polls: int = 10**9
    commits: int = 10**9
    flushes: int = 10**9
    stop: int = 10**9  # polls, and then it ends in order


class Source(MemorySource):
    """A source that lives no longer than it is meant to."""

    fate = Fate()
    service: Service | None = None

    def poll(self, timeout: float) -> Batch:
        self.fate.polls -= 1
        self.fate.stop -= 1
        if self.fate.polls < 0:
            raise Killed
        self._partitions.sort(reverse=sum(self._next.values()) // self._max_records % 2 > 0)  # by turns, always alike
        batch = super().poll(timeout)
        if self.service is not None and (self.fate.stop < 0 or not len(batch)):
            self.service.stop.set()
        return batch

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        self.fate.commits -= bool(positions)
        if self.fate.commits < 0:
            raise Killed
        return super().commit(positions)


class StateSink(MemorySink):
    """Writes what is remembered, as far as the worker lives; half of what was sent is stored when it does not."""

    fate = Fate()

    def flush(self, timeout: float) -> bool:
        self.fate.flushes -= bool(self._sent)
        if self.fate.flushes < 0:
            self._sent = self._sent[: len(self._sent) // 2]
            super().flush(timeout)
            raise Killed
        return super().flush(timeout)


@dataclass
class Turns:
    """Hands over models when so many records of the topic are committed."""

    stored: MemoryBroker
    models: dict[int, str]
    using: str
    load: Callable[[str], LoadedModel]

    def take(self) -> LoadedModel | None:
        wanted = current(self.stored, self.models)
        if wanted == self.using:
            return None
        self.using = wanted
        return self.load(wanted)


def current(stored: MemoryBroker, models: dict[int, str]) -> str:
    """The version that is current once so much is committed."""
    done = sum(stored.committed.values())
    return [version for least, version in sorted(models.items()) if least <= done][-1]


@cache
def detector(seed: int) -> Any:
    return trained(FIELDS, exclude=() if seed < 9 else ["load"], seed=seed)


def model(version: str) -> LoadedModel:
    """A version of the model, with nothing remembered; raises ModelError for one that is not there."""
    number = int(version.rsplit("@", maxsplit=1)[-1])
    if number == 7:
        raise ModelError("version 7 is gone")
    made = pipeline(detector(number), FIELDS)
    return LoadedModel(made, f"default@{number}", "", 0.0, 1.0)


@dataclass
class World:
    """A topic, and workers that come and go."""

    models: dict[int, str] = field(default_factory=lambda: {0: "default@1"})
    stored: MemoryBroker = field(default_factory=lambda: broker(600, STEPS))
    topic: str | None = STATE
    size: int = 40
    source: type[Source] = Source
    history: type[MemoryHistory] = MemoryHistory
    load: Callable[[str], LoadedModel] = model
    sink: type[MemorySink] = MemorySink
    state: type[StateSink] = StateSink
    limits: InvalidLimits = field(default_factory=lambda: InvalidLimits(max_ratio=1.0, max_consecutive=1000))
    max_bytes: int = 2**30

    def __post_init__(self) -> None:
        self.stored.partitions |= dict.fromkeys(TOPICS, 2)

    def work(self, fate: Fate | None = None) -> None:
        """Let a worker live as long as it is meant to; at most until nothing is left to read."""
        fate = fate or Fate()
        service = Service(stale_after=60)
        source, sink = self.source(self.stored, ["in"], max_records=self.size), self.sink(self.stored)
        state = self.state(self.stored)
        source.fate = state.fate = fate
        source.service = service
        history = self.history(self.stored, ["in"])
        topic = StateTopic(
            self.topic,
            topics=MemoryTopics(self.stored),
            history=history,
            open_sink=lambda _limits: state,
            remedy="create it",
            service=service,
            drain_timeout=1,
        )
        replay = Replay(history, self.load, lambda: going_on(service))
        using = current(self.stored, self.models)
        worker = Worker(
            self.load(using),
            source=source,
            sink=sink,
            delivery=AtLeastOnce(source, sink),
            watcher=Turns(self.stored, self.models, using, self.load),  # type: ignore[arg-type]
            group=GroupWatch(session_timeout=10, max_poll_interval=60),
            limits=self.limits,
            ledger=Ledger(topic, TakeOver("group", topic, history, replay, service)),
            meter=Meter(WorkerMetrics(CollectorRegistry())),
            service=service,
            drain_timeout=1,
            max_bytes=self.max_bytes,
        )
        with contextlib.suppress(Killed):
            try:
                worker.run()
            except AestreamError:
                service.stopping()
                worker.close()
                raise
            service.stopping()
            worker.close()

    def compact(self, rng: np.random.Generator) -> None:
        """Keep the last message of each key, but for the newest messages."""
        for partition, log in self.stored.log.items():
            if partition.topic == STATE:
                at = int(rng.integers(0, len(log) + 1))
                last = {message.key: number for number, message in enumerate(log)}
                log[:at] = [m for number, m in enumerate(log[:at]) if last[m.key] == number]

    def kept(self) -> set[str]:
        """The versions that a training would keep: those that the last commits name, and the current one."""
        standings = MemoryTopics(self.stored).standings("g").values()
        named = {f"default@{name}" for standing in standings for name in standing.versions}
        return named | {current(self.stored, self.models)}

    def needed(self) -> set[str]:
        """The versions that the last markers name."""
        logs = [self.stored.log[Partition(STATE, number)] for number in (0, 1)]
        markers = {
            m.key: json.loads(m.value) for log in logs for m in log if m.value and len(json.loads(m.key or b"")) == 5
        }
        return {version for marker in markers.values() for _, version in marker["models"]}

    def scores(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        """The scores of each record; more than one where it was scored again."""
        found: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for partition in (0, 1):
            for message in self.stored.log[Partition("scores", partition)]:
                score = json.loads(message.value or b"")
                found.setdefault((score["source"]["partition"], score["source"]["offset"]), []).append(score)
        return found

    def episodes(self) -> set[tuple[Any, ...]]:
        """What the anomalies say of their episodes."""
        return {
            (told["source"]["partition"], told["source"]["offset"], told["episode"]["id"], told["episode"]["state"])
            for partition in (0, 1)
            for message in self.stored.log[Partition("anomalies", partition)]
            for told in [json.loads(message.value or b"")]
            if "offset" in told["source"]  # others end the episode of a host that is silent, when a clock says so
        }


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of writing every few batches, a few entities at a time."""
    monkeypatch.setattr(ledgers, "_SECONDS", 0.0)
    monkeypatch.setattr(ledgers, "_SHARE", 1e9)
    monkeypatch.setattr(ledgers, "_AT_ONCE", 1)
    monkeypatch.setattr(take_overs, "_SEEN_AGAIN", 0)  # only what is kept can help


MODELS = {0: "default@1", 200: "default@2", 320: "default@1"}


@pytest.fixture(scope="module")
def undisturbed() -> World:
    world = World(MODELS)
    world.work()
    assert sum(world.stored.committed.values()) == 3 * STEPS
    return world


def same(world: World, undisturbed: World) -> None:
    """Each record has the score and the flag that it has without disturbance, however often it was scored."""
    expected, found = undisturbed.scores(), world.scores()
    assert found.keys() == expected.keys()
    for place, scores in found.items():
        for score in scores:
            wanted = expected[place][0]
            assert score["score"] == pytest.approx(wanted["score"], rel=1e-5), place
            for name in ("anomaly", "status", "level", "model"):
                assert score.get(name) == wanted.get(name), (place, name)
            assert score["threshold"] == pytest.approx(wanted["threshold"], rel=1e-9)
    assert world.episodes() == undisturbed.episodes()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_ends_a_worker_its_successors_score_as_if_it_had_lived(
    seed: int, undisturbed: World, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(seed)
    world, lives = World(MODELS), 0
    while sum(world.stored.committed.values()) < 3 * STEPS:
        what = rng.choice(["polls", "commits", "flushes", "stop"])
        world.work(Fate(**{what: int(rng.integers(0, 6))}))
        assert world.needed() <= world.kept()
        if rng.random() < 0.5:
            world.compact(rng)
        lives += 1
        assert lives < 100
    assert lives > 2
    same(world, undisturbed)
    assert "not used" not in caplog.text


def halfway(world: World) -> None:
    """Let a worker score the first half, with one model, and end in order."""
    world.work(Fate(stop=5))
    assert sum(world.stored.committed.values()) == 6 * world.size


def warming(world: World, since: Mapping[int, int]) -> int:
    """How many records from these offsets on, by partition, were judged before their entity was known."""
    return sum(
        scores[-1]["status"] == "warming" for (part, offset), scores in world.scores().items() if offset >= since[part]
    )


def state_of(world: World) -> list[list[Message]]:
    return [world.stored.log[Partition(STATE, number)] for number in (0, 1)]


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
    assert len(told) == (0 if said is None else 2)
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
    assert caplog.text.count(f"somebody else moved it to offset {offset}") == 2
    if not offset:
        for place, scores in before.items():
            assert world.scores()[place][-1]["score"] == pytest.approx(scores[0]["score"], rel=1e-5)


def test_a_partition_that_goes_on_elsewhere_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    halfway(world)
    world.source = Jumping
    world.work()
    assert "somebody else moved it" in caplog.text
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
    assert caplog.text.count("version 7 is gone") == 2
    assert sum(world.stored.committed.values()) == 3 * STEPS
