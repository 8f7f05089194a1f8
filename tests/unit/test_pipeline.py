"""Bytes to messages with features of every kind: what a consumer of the topics reads."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.detector.detector import Detector
from aestream.features.roles import Roles
from aestream.messages.scores import Renderer
from aestream.pipeline import Pipeline, Results
from aestream.transport.size import too_large
from aestream.types import Batch, Partition, Reason, Span

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/score.schema.json").read_text())


def record(i: int, rng: random.Random) -> dict[str, Any]:
    """A shop that is open by day, every quarter of an hour; at night nothing is sold."""
    hour = i / 4 % 24
    day = 8 <= hour < 20
    return {
        "time": f"2026-{i // 2880 + 1:02}-{i // 96 % 30 + 1:02}T{int(hour):02}:{i % 4 * 15:02}:00Z",
        "shop": {"open": day, "till": rng.choice(["left", "right"])},
        "sold": 50 * day + rng.gauss(10, 1),
        "rain": rng.gauss(0, 1) if rng.random() < 0.8 else None,
    }


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return made(flag_unseen=True)


def made(*, flag_unseen: bool) -> Pipeline:
    rng = random.Random(0)
    detector = Detector(
        window=1, false_alarm_rate=0.01, steps=300, missing="rain=impute", timestamps=["time"], flag_unseen=flag_unseen
    )
    detector.fit([record(i, rng) for i in range(2600)])
    schema = detector.schema
    assert len(schema) == 5
    renderer = Renderer(
        model="m@1",
        threshold=detector.threshold,
        names=schema.names,
        scores_topic="scores",
        anomalies_topic="anomalies",
    )
    decoder = JsonCodec(max_record_bytes=10_000).decoder(schema)
    return Pipeline(
        detector, detector.watch(1e9), decoder, renderer, dead_letters_topic="dead", top_features=5, reconstruction=True
    )


def results_of(pipeline: Pipeline, records: Batch, max_bytes: Callable[[str], int]) -> Results:
    decoded = pipeline.decode(records)
    return pipeline.results(records, decoded, pipeline.score(records, decoded), max_bytes)


def batch(records: list[dict[str, Any]]) -> Batch:
    n = len(records)
    values = [json.dumps(record).encode() for record in records]
    spans = [Span(Partition("in", 0), 0, 3), Span(Partition("in", 1), 3, n)]
    return Batch(spans, list(range(n)), [0] * n, [None] * n, values, [()] * n)


def test_categories_times_and_gaps_are_shown_as_people_know_them(pipeline: Pipeline) -> None:
    rng = random.Random(1)
    night, noon = record(96 * 20 + 8, rng), record(96 * 20 + 48, rng)
    strange = {**night, "shop": {"open": True, "till": "left"}, "sold": 200.0, "rain": None}  # a rush at two at night
    unseen = {**noon, "shop": {"open": True, "till": "middle"}}
    records = batch([night, noon, strange, unseen, {**night, "shop": {"open": "no", "till": "left"}}])
    results = results_of(pipeline, records, lambda _topic: 10_000)
    assert [problem.reason for problem in results.invalid] == [Reason.WRONG_TYPE]
    assert results.scored.anomaly.tolist() == [False, False, True, True]
    assert results.scored.unseen == {"shop.till": 1}
    assert list(pipeline.categories) == ["shop.till"]
    scores, anomalies, dead = results.messages
    assert [messages.topic for messages in results.messages] == list(pipeline.topics) == ["scores", "anomalies", "dead"]
    assert list(dead.values) == [records.values[4]]
    for messages, rows in ((scores, range(4)), (anomalies, (2, 3)), (dead, (4,))):
        assert [messages.sources[i] for i in range(len(messages))] == [records.sources[row] for row in rows]
    for value in (*scores.values, *anomalies.values):
        jsonschema.validate(json.loads(value or b""), SCHEMA)
    first, second = ({f["name"]: f for f in json.loads(value or b"")["features"]} for value in anomalies.values)
    assert first["time"]["observed"] == "2026-01-21T02:00:00Z"
    assert isinstance(first["time"]["expected"], str)
    assert first["shop.open"]["observed"] is True
    assert first["rain"]["observed"] is None
    assert second["shop.till"]["observed"] == "(unseen)"
    assert [name for name, feature in second.items() if feature.get("unseen")] == ["shop.till"]
    assert not any("unseen" in feature for feature in first.values())
    assert second["shop.till"]["expected"] in {"left", "right"}
    assert max(second.values(), key=lambda f: f["share"])["name"] == "shop.till"
    assert sum(f["share"] for f in first.values()) == pytest.approx(1)
    rebuilt = json.loads(scores.values[1] or b"")["reconstruction"]
    assert rebuilt["shop.open"] is True
    assert rebuilt["time"].startswith("2026-01-21T")


def test_an_unseen_category_is_counted_and_shown_but_flags_nothing_by_itself() -> None:
    pipeline = made(flag_unseen=False)
    noon = record(96 * 20 + 48, random.Random(1))
    unseen = {**noon, "shop": {"open": True, "till": "middle"}}
    records = batch([noon, unseen, {**unseen, "sold": 900.0}, noon])
    results = results_of(pipeline, records, lambda _topic: 10_000)
    assert results.scored.anomaly.tolist() == [False, False, True, False]
    assert results.scored.unseen == {"shop.till": 2}
    features = {feature.name: feature for feature in results.scored.features[0]}
    assert max(features.values(), key=lambda feature: feature.share).name == "sold"
    assert (features["shop.till"].unseen, features["shop.till"].share) == (True, 0.0)


def test_what_a_topic_does_not_take_is_invalid_and_takes_nothing_from_its_neighbours(pipeline: Pipeline) -> None:
    rng = random.Random(2)
    normal = [record(96 * 20 + 48, rng) for _ in range(4)]
    strange = {**normal[0], "sold": 900.0, "rain": None}
    records = batch([normal[0], {"sold": "no"}, strange, *normal[1:]])
    records = replace(records, keys=[b"k", b"k", b"k", b"x" * 3000, None, b"k"])

    def fitting(limits: dict[str, int]) -> tuple[list[int], list[tuple[int, str]]]:
        most = {"dead": 1500, **limits}
        decoded = pipeline.decode(records)
        assert list(decoded.keys) == [records.keys[row] for row in decoded.rows]
        found = results_of(pipeline, records, most.__getitem__)
        assert not any(too_large(messages, most[messages.topic]) for messages in found.messages)
        letters = found.messages[-1]
        assert letters.topic == "dead"
        assert len(letters) == len(found.invalid) == len(records) - len(found.scored.rows)
        return found.scored.rows.tolist(), [(problem.row, problem.message) for problem in found.invalid]

    assert fitting({"scores": 10_000, "anomalies": 10_000})[0] == [0, 2, 3, 4, 5]
    rows, problems = fitting({"scores": 3000, "anomalies": 10_000})
    assert rows == [0, 2, 4, 5]
    assert [row for row, _ in problems] == [1, 3]
    assert "topic scores accepts 3000" in problems[1][1]
    rows, problems = fitting({"scores": 10_000, "anomalies": 1200})
    assert rows == [0, 3, 4, 5]
    assert "topic anomalies accepts 1200" in problems[1][1]
    assert fitting({"scores": 300, "anomalies": 300})[0] == []


def host(i: int) -> dict[str, Any]:
    rng = random.Random(i)
    load = rng.gauss(0, 1)
    return {"cpu": 50 + 10 * load + rng.gauss(0, 1), "io": 20 - 5 * load + rng.gauss(0, 1)}


@pytest.fixture(scope="module")
def hosts() -> Detector:
    return Detector(window=1, false_alarm_rate=0.01, steps=200).fit([host(i) for i in range(1500)])


def of_layout(detector: Detector, layout: Layout, *, entity: Sequence[str] = ()) -> Pipeline:
    renderer = Renderer(
        model="m@1",
        threshold=detector.threshold,
        names=detector.schema.names,
        scores_topic="scores",
        anomalies_topic="anomalies",
    )
    decoder = JsonCodec(10_000, layout).decoder(detector.schema, entity)
    return Pipeline(
        detector,
        detector.watch(1e9),
        decoder,
        renderer,
        dead_letters_topic="dead",
        top_features=5,
        roles=Roles(entity),
    )


def test_the_elements_of_a_message_are_scored_apart_and_its_dead_letter_is_whole(hosts: Detector) -> None:
    broken = {"cpu": 500.0, "io": 20.0}
    records = batch(
        [
            {"host": "a", "items": [host(1), host(2), broken]},
            {"host": "a", "items": [host(3), {"cpu": "?"}, broken, {"cpu": "fast", "io": 1}]},
            {"host": "a", "items": []},
            {"host": "a", "items": [host(4)]},
            {"host": "b", "items": [host(5), host(6)]},
        ]
    )
    pipeline = of_layout(hosts, Layout(unpack="items", where={"host": "a"}))
    results = results_of(pipeline, records, lambda _topic: 10_000)
    scores, anomalies, dead = results.messages
    documents = [json.loads(value or b"") for value in scores.values]
    for document in documents:
        jsonschema.validate(document, SCHEMA)
    places = [(document["source"]["offset"], document["source"]["element"]) for document in documents]
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (3, 0)]
    flagged = [json.loads(value or b"")["source"] for value in anomalies.values]
    assert [(source["offset"], source["element"]) for source in flagged] == [(0, 2), (1, 2)]
    assert list(dead.values) == [records.values[1]]
    assert dict(dead.headers[0])["aestream.dlq.error"] == (
        b"element 1: cpu is '?', which stands for a missing value; element 3: cpu is text, not a number"
    )
    assert results.passed == {"filtered": 2, "no_records": 1}
    assert dict(records.positions) == {Partition("in", 0): 3, Partition("in", 1): 5}


def test_elements_whose_results_do_not_fit_make_one_dead_letter_of_their_message(hosts: Detector) -> None:
    records = batch([{"items": [host(1), host(2)]}, {"items": [host(3), {"cpu": 1}, host(4)]}, {"items": [host(5)]}])
    records = replace(records, keys=[b"k", b"x" * 3000, None])
    pipeline = of_layout(hosts, Layout(unpack="items"))
    results = results_of(pipeline, records, lambda topic: 5000 if topic == "dead" else 2000)
    assert results.scored.rows.tolist() == [0, 0, 2]
    (problem,) = results.invalid
    assert problem.row == 1
    assert problem.reason is Reason.MISSING_FEATURE
    assert problem.message.startswith("element 1: io is missing; its result has")
    assert [len(messages) for messages in results.messages] == [3, 1]


def test_the_table_of_a_database_is_scored_and_its_deletes_are_passed_over(hosts: Detector) -> None:
    rows = [{"op": "c", "before": None, "after": host(i), "source": {"table": "hosts"}} for i in range(3)]
    gone = {"op": "d", "before": host(1), "after": None, "source": {"table": "hosts"}}
    records = batch([*rows, gone])
    pipeline = of_layout(hosts, Layout("debezium"))
    results = results_of(pipeline, records, lambda _topic: 10_000)
    (scores,) = results.messages
    assert len(scores) == 3
    assert all("element" not in json.loads(value or b"")["source"] for value in scores.values)
    assert results.passed == {"deleted": 1}
    assert not results.invalid
    expected = hosts.detect(hosts.schema.matrix([host(i) for i in range(3)])).score
    assert results.scored.score.tolist() == pytest.approx(expected.tolist())


BROKEN = {"cpu": 500.0, "io": 20.0}


def otlp(name: str, values: dict[str, float]) -> dict[str, Any]:
    """What OpenTelemetry's collector sends about a host."""
    about = {"host.name": {"stringValue": name}, "host.cores": {"intValue": "8"}}
    metrics = [{"name": m, "gauge": {"dataPoints": [{"timeUnixNano": "1", "asDouble": v}]}} for m, v in values.items()]
    attributes = [{"key": key, "value": value} for key, value in about.items()]
    return {"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]}


@pytest.mark.parametrize(
    ("layout", "key", "messages", "expected"),
    [
        (
            Layout(),
            ["host.name", "port", "spare"],
            [
                {"host": {"name": "a"}, "port": 1, **host(1)},
                {"io": "none"},
                {"host": {"name": "b"}, "port": 2, "spare": True, **BROKEN},
                {"host": {"name": "c"}, **BROKEN, "io": "20.0"},  # not for the typed decoder
                BROKEN,
            ],
            {
                (2, None): {"host.name": "b", "port": "2", "spare": "true"},
                (3, None): {"host.name": "c"},
                (4, None): None,
            },
        ),
        (
            Layout(unpack="items"),
            ["site", "host"],
            [
                {"site": "x", "items": [{"host": "a", **BROKEN}, {"host": "b", **host(1)}, {"host": "c", **BROKEN}]},
                {"site": "y", "items": [{"host": "d", **host(2)}]},
                {"site": "z", "items": [{"host": "e", "cpu": "?"}, {"host": "f", "site": "own", **BROKEN}]},
            ],
            {
                (0, 0): {"site": "x", "host": "a"},
                (0, 2): {"site": "x", "host": "c"},
                (2, 1): {"site": "own", "host": "f"},
            },
        ),
        (
            Layout("opentelemetry"),
            ["host.name", "host.cores"],
            [
                {"resourceMetrics": [otlp("a", host(1)), otlp("b", BROKEN)]},
                {"resourceMetrics": [otlp("c", host(2))]},
                {"resourceMetrics": [otlp("d", BROKEN)]},
            ],
            {
                (0, 1): {"host.name": "b", "host.cores": "8"},
                (2, 0): {"host.name": "d", "host.cores": "8"},
            },
        ),
    ],
    ids=["plain", "unpacked", "opentelemetry"],
)
def test_an_anomaly_says_which_entity_it_is_about(
    hosts: Detector,
    layout: Layout,
    key: list[str],
    messages: list[dict[str, Any]],
    expected: dict[tuple[int, int | None], dict[str, str] | None],
) -> None:
    records = batch(messages)

    def documents(pipeline: Pipeline) -> list[list[dict[str, Any]]]:
        scores, anomalies, *_ = results_of(pipeline, records, lambda _topic: 10_000).messages
        assert (scores.topic, anomalies.topic) == ("scores", "anomalies")
        return [[json.loads(value or b"") for value in topic.values] for topic in (scores, anomalies)]

    scores, anomalies = documents(of_layout(hosts, layout, entity=key))
    assert {(a["source"]["offset"], a["source"].get("element")): a.get("entity") for a in anomalies} == expected
    assert [score for score in scores if score["anomaly"]] == anomalies
    assert not any("entity" in score for score in scores if not score["anomaly"])
    for anomaly in anomalies:
        jsonschema.validate(anomaly, SCHEMA)
    assert not any("entity" in anomaly for topic in documents(of_layout(hosts, layout)) for anomaly in topic)
