"""What is remembered is a function of the records: of messages of all kinds, through kills, refusals and handovers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.messages.scores import Renderer
from aestream.pipeline import LoadedModel, Pipeline
from aestream.service import ledger as ledgers
from aestream.service import take_over as take_overs
from aestream.service.ledger import Ledger
from aestream.transport.base import TransactionalSink
from aestream.transport.memory import MemoryBroker, MemorySink, Message
from aestream.types import Batch, Changes, Partition
from tests.unit.service.world import STATE, Fate, Source, World, detector
from tests.unit.test_remembering import FIELDS, HOSTS, START, STEP, record

TTL = 400.0  # seconds: hosts that are silent for that long are forgotten
MESSAGES = 260
MODELS = {0: "default@1", 150: "default@2", 270: "default@1", 380: "default@3"}
CODEC = JsonCodec(max_record_bytes=10_000, layout=Layout(unpack="."))


def eventful() -> MemoryBroker:
    """Arrays of several records, some of one host; late, invalid and empty ones, without a time or with a wrong one."""
    made, rng = MemoryBroker({"in": 3}), np.random.default_rng(5)
    for step in range(600, 600 + MESSAGES):
        for part in (0, 1):  # the third partition stays empty
            stamp = (START + STEP * step) * 1000
            hosts = [part] if rng.random() < 0.6 else [part, 2]
            if step % 90 > 45:  # silent for longer than the time to live
                hosts = [2]
            some = [record(host, step, rng, 4.0 * (70 < step % 90 < 76)) for host in hosts]
            if rng.random() < 0.3:  # a host that is seen once or twice
                some.append(record(0, step, rng) | {"host": f"job-{step // 3}"})
            if rng.random() < 0.2:  # one host twice in a message
                some.append(record(hosts[0], step, rng) | {"at": START + STEP * step + 3})
            if rng.random() < 0.1:
                some.append(record(hosts[0], step - 5, rng))
            if rng.random() < 0.1:
                some.insert(0, {"host": HOSTS[0], "cpu": "broken"})
            value: bytes | None = json.dumps(some).encode()
            odd = rng.random()
            if odd < 0.15:
                value = [b"[]", b"nothing", None][int(20 * odd)]
            elif odd < 0.25:
                stamp = [-1, stamp * 2][int(20 * (odd - 0.15))]
            made.append("in", Message(value, None, (), stamp), part)
    return made


def load(version: str) -> LoadedModel:
    made = detector(int(version.rsplit("@", maxsplit=1)[-1]))
    version = f"default@{version.rsplit('@', maxsplit=1)[-1]}"
    renderer = Renderer(
        model=version,
        threshold=made.threshold,
        names=made.schema.names,
        scores_topic="scores",
        anomalies_topic="anomalies",
    )
    decoder = CODEC.decoder(made.schema, FIELDS.names)
    options = {"dead_letters_topic": "dead", "top_features": 2, "roles": FIELDS}
    return LoadedModel(Pipeline(made, made.watch(TTL), decoder, renderer, **options), version, "", 0.0, 1.0)  # type: ignore[arg-type]


@dataclass
class Trouble:
    """Whether a commit is refused, and who else takes over meanwhile: `where` this worker stands still."""

    refused: int = 10**9
    where: str = ""
    after: int = 10**9
    successor: Fate | None = None

    def stands_still(self, world: World, where: str) -> bool:
        """Let the successor live, if it is time to."""
        self.after -= where == self.where
        if self.after >= 0 or self.successor is None:
            return False
        successor, self.successor = self.successor, None
        replace(world, source=Source).work(successor)
        return True


class Troubled(Source):
    trouble = Trouble()
    world: World
    gone = False

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        self.gone |= self.trouble.stands_still(self.world, "poll")
        batch = super().poll(timeout, read=read)
        if self.gone and self.service is not None:
            self.service.stop.set()  # it would join again: enough is shown by its end
        return Batch() if self.gone else batch

    def changes(self) -> Changes:
        found = super().changes()
        return replace(found, lost=frozenset(self._partitions)) if self.gone else found

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        self.trouble.refused -= 1
        self.gone |= self.trouble.stands_still(self.world, "commit")
        return not self.gone and self.trouble.refused != 0 and super().commit(positions, within=within)


@pytest.fixture(autouse=True)
def _often(often: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - the fixture sets the pace
    monkeypatch.setattr(ledgers, "_AT_ONCE", 2)


def scores(world: World) -> dict[tuple[int, int, int], list[dict[str, object]]]:
    found: dict[tuple[int, int, int], list[dict[str, object]]] = {}
    for (topic, _), log in world.stored.log.items():
        for message in log if topic == "scores" else ():
            score = json.loads(message.value or b"")
            place = score["source"]
            found.setdefault((place["partition"], place["offset"], place.get("element", 0)), []).append(score)
    return found


@pytest.fixture(scope="module")
def undisturbed() -> World:
    world = World(MODELS, eventful(), load=load, size=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledgers, "_SECONDS", 0.0)
        patch.setattr(take_overs, "_SEEN_AGAIN", 0)
        world.work()
    assert sum(world.stored.committed.values()) == 2 * MESSAGES
    return world


def same(world: World, undisturbed: World) -> None:
    expected, found = scores(undisturbed), scores(world)
    assert found.keys() == expected.keys()
    for place, some in found.items():
        for score in some:
            wanted = expected[place][0]
            assert score["score"] == pytest.approx(wanted["score"], rel=1e-5), place
            for name in ("anomaly", "status", "level", "model"):
                assert score.get(name) == wanted.get(name), (place, name)
    assert world.episodes() == undisturbed.episodes()


def test_the_records_are_eventful(undisturbed: World) -> None:
    found = [some[0] for some in scores(undisturbed).values()]
    status = [score["status"] for score in found]
    assert {"scored", "warming", "late"} == set(status)
    assert 20 < sum(score["anomaly"] is True for score in found) < len(found) / 2
    again = [s for s in found if s["status"] == "warming" and s["source"]["offset"] > 50]  # type: ignore[index]
    assert again


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["apart", "shared", "exactly once"])
def test_whatever_happens_scores_are_the_same(
    seed: int, kind: str, undisturbed: World, caplog: pytest.LogCaptureFixture
) -> None:
    rng, draw = np.random.default_rng(seed), None
    once = kind == "exactly once"
    world = World(MODELS, eventful(), load=load, size=30, source=Troubled, exactly_once=once)
    world.stored.partitions[STATE] = 1 if kind == "shared" else 2
    draw = partial(rng.integers, 0)
    for _ in range(100):
        if sum(world.stored.committed.values()) == 2 * MESSAGES:
            break
        trouble, fate = Trouble(), Fate()
        match rng.choice(["polls", "commits", "flushes", "refused", "end", "poll", "commit"]):
            case "refused":
                trouble.refused, fate.polls = int(draw(5)), int(draw(8))
            case "end":
                fate.stop, fate.flushes = int(draw(5)), int(draw(8))
            case "poll" | "commit" as where:
                trouble.where, trouble.after = where, int(draw(6))
                trouble.successor = Fate(**{str(rng.choice(["polls", "commits", "flushes"])): int(draw(8))})
            case what:
                fate = Fate(**{what: int(draw(7))})
        Troubled.trouble, Troubled.world = trouble, world
        world.work(fate)
        if rng.random() < 0.5:
            world.compact(rng)
    same(world, undisturbed)
    assert "not used" not in caplog.text
    assert not once or all(len(some) == 1 for some in scores(world).values())


@pytest.mark.parametrize("seed", [8, 35])
@pytest.mark.parametrize("kind", ["apart", "exactly once"])
def test_it_does_not_matter_when_the_ledger_is_written(
    seed: int, kind: str, undisturbed: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seeds with which an entity was lost: it was forgotten as of the commit, and its entry was needed as of the marker.
    rng = np.random.default_rng(1000 + seed)
    often = rng.choice([0.1, 0.3, 0.6, 1.0])

    def due(ledger: Ledger) -> bool:
        return len(ledger._kept) > 0 and ledger._topic.usable() and rng.random() < often

    monkeypatch.setattr(Ledger, "due", due)
    test_whatever_happens_scores_are_the_same(seed, kind, undisturbed, caplog)


def test_who_is_evicted_for_room_begins_anew_and_nothing_else_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    world = World(MODELS, eventful(), load=load, size=30, sink=MemorySink)
    world.max_bytes = 5 * load("1").pipeline.stream.store.layout.itemsize
    for stop in (3, 2, 4, 1):
        world.work(Fate(stop=stop))
        world.work(Fate(flushes=stop + 4))
    world.work()
    assert sum(world.stored.committed.values()) == 2 * MESSAGES
    assert "not used" not in caplog.text
