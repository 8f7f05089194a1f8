"""A topic of several hosts, from its past to scores: training and pipeline tell entities and times alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aestream.codecs.json import JsonCodec
from aestream.detector.detector import Detector
from aestream.features.roles import NO_ROLES, Roles
from aestream.inference.infer import infer
from aestream.inference.selection import Selection
from aestream.messages.incidents import APART
from aestream.messages.scores import Renderer
from aestream.pipeline import Pipeline
from aestream.sampling.sample import fit
from aestream.sampling.topic import TopicSampler
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemorySource, Message
from aestream.types import Batch, Level, Partition

START, STEP = 1_700_000_000, 10  # seconds
HOSTS = ("web-1", "web-2", "db-1")
FIELDS = Roles(("host",), "at")
CODEC = JsonCodec(max_record_bytes=10_000)
INCIDENT = range(60, 66)  # of the steps of web-2 after the training


def record(host: int, step: int, rng: np.random.Generator, more: float = 0.0) -> dict[str, Any]:
    slow, fast = np.sin(step / 20 + host), np.sin(step / 7)
    noise = 0.05 * rng.standard_normal(2)
    return {
        "host": HOSTS[host],
        "at": START + STEP * step,
        "cpu": 50 + 10 * (slow + noise[0]) + 30 * host,
        "load": slow + fast + noise[1] + more,
        "requests": 1000 * (host + 1) * step + int(rng.poisson(100)),
    }


def broker(
    first: int, steps: int, *, late: Sequence[int] = (), moved: bool = False, partitions: int = 2
) -> MemoryBroker:
    """A topic whose partitions go by host. At the steps `late`, web-1 sends an old record as well."""
    made, rng = MemoryBroker({"in": partitions}), np.random.default_rng(first)
    for step in range(first, first + steps):
        for host, name in enumerate(HOSTS):
            strange = 4.0 if host == 1 and step - first in INCIDENT else 0.0
            found = [record(host, step, rng, strange + (3.0 if moved and host == 2 else 0.0))]
            if host == 0 and step - first in late:
                found.append(record(host, step - 5, rng))
            for one in found:
                message = Message(json.dumps(one).encode(), name.encode(), (), (START + STEP * step) * 1000)
                made.append("in", message, host % partitions)
    return made


def without(stored: MemoryBroker, host: str, *, after: int) -> MemoryBroker:
    """The same without the records of a host after its first ones."""
    for partition, messages in stored.log.items():
        own = [place for place, message in enumerate(messages) if message.key == host.encode()]
        gone = set(own[after:])
        stored.log[partition] = [message for place, message in enumerate(messages) if place not in gone]
    return stored


def trained(roles: Roles, *, exclude: Sequence[str] = (), seed: int = 0) -> Detector:
    chosen = Selection(key=roles.key, time=roles.time, exclude=["host", "at", *exclude], rates=True)
    history = MemoryHistory(broker(0, 600), ["in"])
    sampler = TopicSampler(
        history, CODEC, records=10_000, period=None, choose=lambda some: infer(some, chosen), roles=roles
    )
    sample = sampler.sample(progress=lambda _seen, _wanted: None)
    return fit(Detector(false_alarm_rate=0.01, steps=300, window="auto", latent_size=None, seed=seed), sample)


@pytest.fixture(scope="module", params=[FIELDS, NO_ROLES], ids=["fields", "messages"])
def known(request: pytest.FixtureRequest) -> tuple[Detector, Roles]:
    return trained(request.param), request.param


def pipeline(detector: Detector, roles: Roles) -> Pipeline:
    renderer = Renderer(
        model="default@1",
        threshold=detector.threshold,
        names=detector.schema.names,
        scores_topic="scores",
        anomalies_topic="anomalies",
    )
    return Pipeline(
        detector,
        detector.watch(7 * 86_400),
        CODEC.decoder(detector.schema, roles.names),
        renderer,
        dead_letters_topic="dead",
        top_features=2,
        roles=roles,
    )


def batches(stored: MemoryBroker, size: int) -> Iterator[Batch]:
    source = MemorySource(stored, ["in"], max_records=size)
    while len(batch := source.poll(0)):
        yield batch


def told(
    made: Pipeline, stored: MemoryBroker, size: int, heard: Callable[[Batch], None] = lambda _batch: None
) -> dict[str, list[dict[str, Any]]]:
    """The scores and the anomalies. `heard` is called with each batch."""
    found: dict[str, list[dict[str, Any]]] = {"scores": [], "anomalies": [], "dead": []}
    for batch in batches(stored, size):
        heard(batch)
        decoded = made.decode(batch)
        for messages in made.results(batch, decoded, made.score(batch, decoded), lambda _topic: 10_000).messages:
            found[messages.topic] += [json.loads(value or b"") for value in messages.values]
    assert not found["dead"]
    return found


def test_the_training_tells_hosts_and_times(known: tuple[Detector, Roles]) -> None:
    detector, roles = known
    assert detector.window == 10
    assert detector.naming.keyed
    assert detector.naming.timed
    assert (tuple(detector.naming.keys or ()), detector.naming.times) == (roles.key, roles.time)
    columns = dict(zip(detector.schema.names, range(len(detector.schema)), strict=True))
    assert columns["requests"] in detector.schema.counters.tolist()


def test_an_incident_of_one_host_is_one_episode_with_a_beginning_and_an_end(known: tuple[Detector, Roles]) -> None:
    detector, roles = known
    found = told(pipeline(detector, roles), broker(600, 200), 500)
    of_host = [score for score in found["scores"] if score["key"] == "web-2"]
    assert [score["status"] for score in of_host[:12]] == ["warming"] * 9 + ["scored"] * 3
    assert not any(score["anomaly"] for score in of_host[:9])
    began = next(score for score in of_host[INCIDENT.start : INCIDENT.stop] if score["anomaly"])
    since = began["source"]["timestamp"]
    about = [message for message in found["anomalies"] if message["episode"]["since"] == since]
    assert {message["episode"]["id"] for message in about} == {f"in/1/web-2/{since}"}
    states = [message["episode"]["state"] for message in about]
    assert states == ["opened", *["ongoing"] * (len(states) - 2), "closed"]
    assert [message["anomaly"] for message in about] == [True] * (len(states) - 1) + [False]
    assert about[0]["features"][0]["name"] == about[0]["episode"]["features"][0]["name"] == "load"
    assert about[-1]["episode"]["worst"] == max(score["score"] for score in of_host if score["anomaly"])
    if roles.key:
        assert all(message["entity"] == {"host": "web-2"} for message in about)
    others = [score for score in found["scores"] if score["key"] != "web-2"]
    assert sum(score["anomaly"] for score in others) <= 0.05 * len(others)
    assert {message["source"]["partition"] for message in about} == {1}


def test_batches_of_any_size_say_the_same(known: tuple[Detector, Roles]) -> None:
    detector, roles = known
    stored = broker(600, 150, late=(20, 70))
    whole, pieces = (told(pipeline(detector, roles), stored, size) for size in (10_000, 7))
    assert len(whole["scores"]) == len(pieces["scores"]) == 150 * len(HOSTS) + 2

    def by_place(scores: list[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
        return {(score["source"]["partition"], score["source"]["offset"]): score for score in scores}

    first, second = by_place(whole["scores"]), by_place(pieces["scores"])
    assert first.keys() == second.keys()
    for place, score in first.items():
        other = second[place]
        assert [score[name] for name in ("anomaly", "status", "key")] == [
            other[name] for name in ("anomaly", "status", "key")
        ]
        assert score.get("level") == other.get("level")
        assert score["score"] == pytest.approx(other["score"], rel=1e-4)
        assert score["threshold"] == pytest.approx(other["threshold"], rel=1e-4)
        assert score.get("episode", {}).get("id") == other.get("episode", {}).get("id")
    if roles.time:
        assert [score["key"] for score in whole["scores"] if score["status"] == "late"] == ["web-1", "web-1"]


def test_a_partition_that_went_and_came_back_begins_anew(known: tuple[Detector, Roles]) -> None:
    detector, roles = known
    made = pipeline(detector, roles)
    told(made, broker(600, 30), 500)
    made.stream.forget([Partition("in", 1)])
    found = told(made, broker(630, 10), 500)["scores"]
    assert [s["status"] for s in found if s["key"] == "web-2"] == ["warming"] * 9 + ["scored"]
    assert {s["status"] for s in found if s["key"] != "web-2"} == {"scored"}


def test_records_without_any_time_have_episodes_too() -> None:
    stored = broker(600, 100)
    for partition, messages in stored.log.items():
        stored.log[partition] = [replace(message, timestamp=-1) for message in messages]
    found = told(pipeline(trained(NO_ROLES, exclude=["requests"]), NO_ROLES), stored, 500)
    assert {anomaly["episode"]["since"] for anomaly in found["anomalies"]} == {0}


def test_a_host_that_has_moved_says_so(known: tuple[Detector, Roles]) -> None:
    detector, roles = known
    made = pipeline(detector, roles)
    told(made, broker(600, 50), 500)
    found = told(made, broker(650, 500, moved=True), 500)["scores"]
    moved = [score for score in found if score["key"] == "db-1"]
    assert moved[-1]["level"] == "moved"
    assert moved[-1]["threshold"] > 2 * moved[0]["threshold"]
    assert not moved[-1]["anomaly"]
    assert made.stream.levels[Level.MOVED] == 1
    memory = made.stream.tidy(2**30)
    assert memory.episodes <= 1
    assert memory.levels == made.stream.levels
    db, web = (memory.parts[Partition("in", partition)] for partition in (0, 1))
    assert (sum(db.values()), db[Level.MOVED]) == (2, 1)
    assert (sum(web.values()), web[Level.MOVED]) == (1, 0)


def test_what_is_too_large_neither_hides_the_beginning_nor_the_end_of_an_episode() -> None:
    # The records that open and close the episode of web-2 have long keys: their anomalies do not fit.
    detector = trained(FIELDS)
    stored = broker(600, 200)
    plain = told(pipeline(detector, FIELDS), stored, 500)["anomalies"]
    first, *_, last = [a for a in plain if a["key"] == "web-2"]
    assert (first["episode"]["state"], last["episode"]["state"]) == ("opened", "closed")
    log = stored.log[Partition("in", 1)]
    for message in (first, last):
        place = message["source"]["offset"]
        log[place] = replace(log[place], key=b"k" * 20_000)
    made = pipeline(detector, FIELDS)
    found, dead = [], 0
    for batch in batches(stored, 70):
        decoded = made.decode(batch)
        scored = made.score(batch, decoded)
        for _ in range(2):  # written once more, as if the first attempt had been refused
            results = made.results(batch, decoded, scored, lambda topic: 9_000 if topic == "anomalies" else 100_000)
        dead += len(results.invalid)
        for messages in results.messages:
            if messages.topic == "anomalies":
                found += [json.loads(value or b"") for value in messages.values]
    assert dead == 2
    about = [a for a in found if a["episode"]["id"] == first["episode"]["id"]]
    assert [a["episode"]["state"] for a in about] == ["opened", *["ongoing"] * (len(about) - 2), "closed"]
    assert about[-1]["status"] == "too_large"
    assert about[-1]["entity"] == {"host": "web-2"}
    assert about[-1]["episode"]["worst"] == pytest.approx(last["episode"]["worst"])
    assert about[-1]["source"]["timestamp"] == last["source"]["timestamp"]


def test_two_hosts_with_the_same_trouble_are_one_incident_also_through_a_new_model() -> None:
    detector = trained(FIELDS)
    stored = broker(600, 200)
    later = range(INCIDENT.start + 2, INCIDENT.stop + 2)
    for place, message in enumerate(log := stored.log[Partition("in", 0)]):
        found = json.loads(message.value or b"")
        if found["host"] == "db-1" and (found["at"] - START) // STEP - 600 in later:
            log[place] = replace(message, value=json.dumps({**found, "load": found["load"] + 4}).encode())
    first = pipeline(detector, FIELDS)
    anomalies: list[dict[str, Any]] = []
    for number, batch in enumerate(batches(stored, 40)):
        if number == 5:  # in the middle of the incident
            made = pipeline(detector, FIELDS)
            assert made.stream.adopt(first.stream)
            made.go_on(first)
            first = made
        decoded = first.decode(batch)
        scored = first.score(batch, decoded)
        for messages in first.results(batch, decoded, scored, lambda _topic: 10_000).messages:
            if messages.topic == "anomalies":
                anomalies += [json.loads(value or b"") for value in messages.values]
    began = next(a for a in anomalies if a["episode"]["state"] == "opened" and a["key"] == "web-2")
    about = [a for a in anomalies if a["episode"]["incident"] == began["episode"]["incident"]]
    assert {a["key"] for a in about} == {"web-2", "db-1"}
    assert sum(a["episode"]["id"] == a["episode"]["incident"] for a in about if a["episode"]["state"] == "opened") == 1
    assert [a["episode"]["state"] for a in about].count("closed") == 2


def test_troubles_hours_apart_are_two_incidents_though_all_records_were_imported_at_once() -> None:
    stored = broker(600, 600)
    later = range(INCIDENT.start + 420, INCIDENT.stop + 420)  # 70 minutes later, on another host
    for place, message in enumerate(log := stored.log[Partition("in", 0)]):
        found = json.loads(message.value or b"")
        if found["host"] == "db-1" and (found["at"] - START) // STEP - 600 in later:
            log[place] = replace(message, value=json.dumps({**found, "load": found["load"] + 8}).encode())
    for partition, messages in stored.log.items():
        stored.log[partition] = [replace(message, timestamp=(START + 86_400) * 1000) for message in messages]
    anomalies = told(pipeline(trained(FIELDS), FIELDS), stored, 40)["anomalies"]
    first, last = (
        max((a for a in anomalies if a["key"] == host and a["anomaly"]), key=lambda a: a["score"])["episode"]
        for host in ("web-2", "db-1")
    )
    assert last["since"] - first["since"] > APART
    assert first["incident"] != last["incident"]
