"""The JSON of scores and anomalies, against the schema that users are given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from aestream.messages.episodes import Episode, Part
from aestream.messages.scores import FeatureShare, Renderer, Scored
from aestream.types import Batch, Headers, Level, Outgoing, Partition, Span, Status

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/score.schema.json").read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def batch(
    *, keys: Sequence[bytes | None] = (b"a", None, b"\xff", b""), headers: Sequence[Headers] = ((),) * 4
) -> Batch:
    spans = [Span(Partition("in", 0), 0, 3), Span(Partition("other", 5), 3, 4)]
    return Batch(spans, [7, 8, 9, 0], [1, 2**62, -1, 1_700_000_000_000], keys, [b"{}"] * 4, headers)


def scored(rows: Sequence[int], *, flagged: Sequence[int] = (), optional: bool = False) -> Scored:
    """`flagged` are places in `rows`."""
    n = len(rows)
    errors = np.asarray([float(row) + 0.5 for row in rows])
    return Scored(
        np.asarray(rows, np.intp),
        errors / 2,
        errors,
        np.full(n, 0.25),
        np.asarray([place in flagged for place in range(n)], bool),
        np.asarray(flagged, np.intp),
        [[FeatureShare("cpu", 9.0, 1.0, 0.75), FeatureShare("load", None, "eu-1", 0.25)] for _ in flagged],
        np.ones((n, 2), np.float32) if optional else None,
        [[1.0, "eu-1"]] * n if optional else None,
    )


def render(records: Batch, found: Scored, *, scores: str | None = "scores", headers: bool = False) -> list[Outgoing]:
    renderer = Renderer(
        model="default@20260101T000000Z",
        threshold=2.0,
        names=["cpu", "load"],
        scores_topic=scores,
        anomalies_topic="anomalies",
        headers=headers,
    )
    return renderer.render(records, found)


def documents(messages: Outgoing) -> list[dict[str, Any]]:
    found = [json.loads(value or b"") for value in messages.values]
    for document in found:
        CHECK.validate(document)
    return found


@pytest.mark.parametrize("optional", [False, True])
def test_scores_and_anomalies_follow_the_schema(optional: bool) -> None:
    scores, anomalies = render(batch(), scored([0, 1, 2, 3], flagged=[1, 3], optional=optional))
    assert (scores.topic, anomalies.topic) == ("scores", "anomalies")
    assert [document["source"]["offset"] for document in documents(scores)] == [7, 8, 9, 0]
    assert [document["source"]["topic"] for document in documents(scores)] == ["in", "in", "in", "other"]
    assert [document["features"][0]["name"] for document in documents(anomalies)] == ["cpu", "cpu"]
    assert all(("latent" in document) == optional for document in documents(scores))
    if optional:
        assert documents(scores)[0]["reconstruction"] == {"cpu": 1.0, "load": "eu-1"}


def test_the_schema_is_strict_enough_to_fail() -> None:
    (good,) = documents(render(batch(), scored([0]))[0])
    for name in SCHEMA["$defs"]["Score"]["required"]:
        with pytest.raises(jsonschema.ValidationError):
            CHECK.validate({other: value for other, value in good.items() if other != name})
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate({**good, "score": "1"})


def test_keys_go_along_and_are_shown_as_text() -> None:
    (messages,) = render(batch(), scored([0, 1, 2, 3]))
    assert list(messages.keys) == [b"a", None, b"\xff", b""]
    assert [document["key"] for document in documents(messages)] == ["a", None, "\ufffd", ""]
    (long,) = render(batch(keys=["é".encode() * 5000, None, None, None]), scored([0]))
    assert documents(long)[0]["key"] == "é" * 1024
    (none,) = render(batch(keys=[None] * 4), scored([0, 3]))
    assert [document["key"] for document in documents(none)] == [None, None]


def test_an_anomaly_names_its_entity_and_plain_scores_do_not() -> None:
    found = scored([0, 1, 2, 3], flagged=[0, 2, 3])
    named = msgspec.structs.replace(found, entities=[{"host": "é" * 5000, "disk": "sda"}, {}, {"host": ""}])
    scores, anomalies = map(documents, render(batch(), named))
    assert [anomaly.get("entity") for anomaly in anomalies] == [{"host": "é" * 1024, "disk": "sda"}, None, {"host": ""}]
    assert [score for score in scores if score["anomaly"]] == anomalies
    assert ["entity" in score for score in scores] == [True, False, False, True]
    assert not any("entity" in document for messages in render(batch(), found) for document in documents(messages))


def test_rows_without_a_score_are_left_out_and_the_others_keep_their_place() -> None:
    scores, anomalies = render(batch(), scored([1, 3], flagged=[1]))
    assert [document["source"]["offset"] for document in documents(scores)] == [8, 0]
    assert list(scores.keys) == [None, b""]
    assert list(scores.sources) == [Partition("in", 0), Partition("other", 5)]
    assert list(anomalies.sources) == [Partition("other", 5)]
    assert list(anomalies.keys) == [b""]
    assert documents(anomalies)[0]["source"]["topic"] == "other"


@pytest.mark.parametrize("optional", [False, True])
def test_an_anomaly_is_the_same_message_on_both_topics_and_without_scores(optional: bool) -> None:
    found = scored([0, 2, 3], flagged=[0, 2], optional=optional)
    found = msgspec.structs.replace(found, level=np.asarray([0, 1, 2], np.uint8), entities=[{"host": "a"}, {}])
    scores, anomalies = render(batch(keys=[b"a\n", None, b"\xff", b"d"]), found)
    assert anomalies.values == [scores.values[0], scores.values[2]]
    assert [document.get("level") for document in documents(scores)] == [None, "held", "moved"]
    assert render(batch(keys=[b"a\n", None, b"\xff", b"d"]), found, scores=None) == [anomalies]


def test_scores_may_be_off_and_nothing_flagged_means_no_anomalies() -> None:
    assert render(batch(), scored([0, 1]), scores=None) == []
    assert [messages.topic for messages in render(batch(), scored([0], flagged=[0]), scores=None)] == ["anomalies"]
    (empty,) = render(batch(), scored([]))
    assert len(empty) == 0


def test_the_records_of_one_message_are_told_apart_by_their_element() -> None:
    several = msgspec.structs.replace(scored([0, 0, 1, 3], flagged=[1, 2]), elements=np.array([0, 2, -1, 0]))
    scores, anomalies = render(batch(), several)
    sources = [document["source"] for document in documents(scores)]
    assert [(source["offset"], source.get("element")) for source in sources] == [(7, 0), (7, 2), (8, None), (0, 0)]
    assert list(scores.keys) == [b"a", b"a", None, b""]
    assert [document["source"].get("element") for document in documents(anomalies)] == [2, None]
    assert [dict(headers)["ce_id"] for headers in anomalies.headers] == [b"in/0/7/2", b"in/0/8"]
    assert not any("element" in document["source"] for document in documents(render(batch(), scored([0, 1]))[0]))


def test_headers_are_a_cloud_event_and_carry_the_trace() -> None:
    trace: list[Headers] = [(("traceparent", b"00-1"), ("x", b"1")), (("traceparent", b"t" * 600),), (), ()]
    scores, anomalies = render(batch(headers=trace), scored([0, 1, 2], flagged=[0, 1, 2]), headers=True)
    for messages in (scores, anomalies):
        first, second, third = map(dict, messages.headers)
        assert first["traceparent"] == b"00-1"
        assert "x" not in first
        assert "traceparent" not in second
        assert first["ce_id"] == b"in/0/7"
        assert first["ce_specversion"] == b"1.0"
        assert [h["ce_time"] for h in (first, second, third)] == [
            b"1970-01-01T00:00:00.001Z",
            b"9999-12-31T23:59:59.000Z",
            b"1970-01-01T00:00:00.000Z",
        ]
    assert not render(batch(), scored([0]))[0].headers


def in_time(found: Scored) -> Scored:
    """With what there is where records are judged with those before them; the last record closes an episode."""
    opened = Episode("in/0/a/1000", "opened", 1000, 3.5, [Part("cpu", 0.75), Part("load", 0.25)])
    return msgspec.structs.replace(
        found,
        threshold=np.array([1.0, 2.0, 3.0, 4.0]),
        status=np.array([Status.SCORED, Status.WARMING, Status.LATE, Status.SCORED], np.uint8),
        level=np.array([Level.MOVED, Level.USUAL, Level.USUAL, Level.HELD], np.uint8),
        told=np.array([0, 3]),
        episodes=[opened, msgspec.structs.replace(opened, state="closed")],
    )


@pytest.mark.parametrize("optional", [False, True])
def test_where_records_are_judged_in_time_each_has_its_threshold_and_an_episode_is_told_to_its_end(
    optional: bool,
) -> None:
    scores, anomalies = map(documents, render(batch(), in_time(scored([0, 1, 2, 3], flagged=[0], optional=optional))))
    assert [score["threshold"] for score in scores] == [1.0, 2.0, 3.0, 4.0]
    assert [score["status"] for score in scores] == ["scored", "warming", "late", "scored"]
    assert [score.get("level") for score in scores] == ["moved", None, None, "held"]
    assert ["episode" in score for score in scores] == [True, False, False, True]
    assert all(("latent" in score) == optional for score in scores)

    assert anomalies == [scores[0], scores[3]]
    assert [anomaly["anomaly"] for anomaly in anomalies] == [True, False]
    assert [anomaly["episode"]["state"] for anomaly in anomalies] == ["opened", "closed"]
    assert anomalies[0]["episode"] == {
        "id": "in/0/a/1000",
        "state": "opened",
        "since": 1000,
        "worst": 3.5,
        "features": [{"name": "cpu", "share": 0.75}, {"name": "load", "share": 0.25}],
    }


@pytest.mark.parametrize("gone", [[0], [1], [3], [0, 3], [0, 1, 2, 3], []])
def test_records_that_are_left_out_take_everything_about_them_along(gone: list[int]) -> None:
    full = in_time(scored([0, 1, 2, 3], flagged=[0, 2], optional=True))
    full = msgspec.structs.replace(
        full, entities=[{"host": "a"}, {"host": "c"}, {"host": "d"}], elements=np.array([0, -1, -1, 1])
    )
    before = [document for messages in render(batch(), full) for document in documents(messages)]
    after = [document for messages in render(batch(), full.without(gone)) for document in documents(messages)]
    left_out = [("in", 7), ("in", 8), ("in", 9), ("other", 0)]
    places = {left_out[place] for place in gone}
    assert after == [
        document for document in before if (document["source"]["topic"], document["source"]["offset"]) not in places
    ]
