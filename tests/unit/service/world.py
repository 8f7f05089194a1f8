"""A topic of hosts, and workers that come and go: each is the real loop, over a broker in memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from aestream.errors import AestreamError, ModelError
from aestream.messages.dead_letters import InvalidLimits
from aestream.pipeline import LoadedModel
from aestream.service.ledger import Ledger
from aestream.service.membership import GroupWatch
from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.service.progress import Progress
from aestream.service.replay import Replay
from aestream.service.service import Service
from aestream.service.state_topic import StateTopic
from aestream.service.take_over import TakeOver
from aestream.service.worker import Worker
from aestream.transport.base import TransactionalSink
from aestream.transport.delivery import AtLeastOnce, ExactlyOnce
from aestream.transport.memory import (
    MemoryBroker,
    MemoryHistory,
    MemorySink,
    MemorySource,
    MemoryTopics,
    MemoryTransactionalSink,
    Message,
)
from aestream.types import Batch, Partition
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

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        self.fate.polls -= 1
        self.fate.stop -= 1
        if self.fate.polls < 0:
            raise Killed
        self._partitions.sort(reverse=sum(self._next.values()) // self._max_records % 2 > 0)  # by turns, always alike
        batch = super().poll(timeout, read=read)
        if self.service is not None and (self.fate.stop < 0 or (read and not len(batch))):
            self.service.stop.set()
        return batch

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        self.fate.commits -= bool(positions)
        if self.fate.commits < 0:
            raise Killed
        return super().commit(positions, within=within)


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


class Transactions(MemoryTransactionalSink):
    """Writes results and what is remembered, as far as the worker lives: a kill comes before a commit, or after it."""

    fate = Fate()

    def commit(self, offsets: Any, member: Any) -> None:
        self.fate.flushes -= 1
        if self.fate.flushes < 0:
            raise Killed
        super().commit(offsets, member)


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
    patience: float = 60.0
    load: Callable[[str], LoadedModel] = model
    sink: type[MemorySink] = MemorySink
    state: type[StateSink] = StateSink
    limits: InvalidLimits = field(default_factory=lambda: InvalidLimits(max_ratio=1.0, max_consecutive=1000))
    max_bytes: int = 2**30
    exactly_once: bool = False

    def __post_init__(self) -> None:
        self.stored.partitions |= dict.fromkeys(TOPICS, 2)

    def work(self, fate: Fate | None = None) -> None:
        """Let a worker live as long as it is meant to; at most until nothing is left to read."""
        fate = fate or Fate()
        service = Service(stale_after=60)
        source, state = self.source(self.stored, ["in"], max_records=self.size), self.state(self.stored)
        transactions = Transactions(self.stored)
        source.fate = state.fate = transactions.fate = fate
        sink = transactions if self.exactly_once else self.sink(self.stored)
        delivery = ExactlyOnce(source, transactions) if self.exactly_once else AtLeastOnce(source, sink)
        source.service = service
        history = self.history(self.stored, ["in"])
        topic = StateTopic(
            self.topic,
            topics=MemoryTopics(self.stored),
            history=history,
            open_outlet=lambda _limits: delivery.outlet(lambda: state),
            remedy="create it",
            service=service,
            drain_timeout=1,
        )
        replay = Replay(history, self.load)
        using = current(self.stored, self.models)
        worker = Worker(
            self.load(using),
            source=source,
            sink=sink,
            delivery=delivery,
            watcher=Turns(self.stored, self.models, using, self.load),  # type: ignore[arg-type]
            group=GroupWatch(session_timeout=10, max_poll_interval=60),
            limits=self.limits,
            ledger=Ledger(topic, TakeOver("group", topic, history, replay, service, patience=self.patience)),
            progress=Progress(timeout=60),
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
