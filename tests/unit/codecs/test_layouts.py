"""From the messages of common producers to records, with the messages as these producers write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aestream.codecs.json import JsonCodec, JsonDecoder
from aestream.codecs.layouts import Layout
from aestream.types import PassedOver, Reason

LIMIT = 100_000


def records(document: Any, layout: Layout) -> list[Any]:
    """The records that training sees."""
    (found,) = JsonCodec(LIMIT, layout).documents([json.dumps(document).encode()])
    return list(found)


def refusal(document: Any, layout: Layout | None = None) -> str:
    return JsonCodec(LIMIT, layout or Layout()).refusal(json.dumps(document).encode()) or ""


def change(op: str, after: Any, **more: Any) -> dict[str, Any]:
    source = {"connector": "postgresql", "table": "machines", "lsn": 17}
    return {"before": None, "after": after, "source": source, "op": op, "ts_ms": 1_700_000_000_000, **more}


DEBEZIUM = Layout("debezium")
TELEGRAF = Layout("telegraf")
OTLP = Layout("opentelemetry")


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_debezium_gives_the_row_after_the_change(op: str) -> None:
    row = {"id": 7, "load": 0.5}
    assert records(change(op, row), DEBEZIUM) == [row]
    assert records({"schema": {"type": "struct"}, "payload": change(op, row)}, DEBEZIUM) == [row]
    assert records({"schema": {"type": "struct"}, "payload": row}, DEBEZIUM) == [row]
    assert records(change(op, json.dumps(row)), DEBEZIUM) == [row]


def test_deletes_and_tombstones_are_passed_over_and_counted() -> None:
    decoder = JsonDecoder([("load",)], max_record_bytes=LIMIT, layout=DEBEZIUM)
    gone = json.dumps(change("d", None, before={"load": 1})).encode()
    values = [gone, None, json.dumps(change("c", {"load": 2})).encode(), b'{"schema":null,"payload":null}', b"", gone]
    decoded = decoder.decode(values, [b"a", b"b", b"c", b"d", b"e", b"f"], range(6))
    assert decoded.matrix.tolist() == [[2.0]]
    assert (decoded.rows.tolist(), list(decoded.keys), decoded.timestamps.tolist()) == ([2], [b"c"], [2])
    assert decoded.passed == {PassedOver.DELETED: 2, PassedOver.TOMBSTONE: 2}
    assert [(problem.row, problem.reason) for problem in decoded.invalid] == [(4, Reason.EMPTY)]
    assert JsonCodec(LIMIT, DEBEZIUM).refusal(None) is None
    plain = JsonDecoder([("load",)], max_record_bytes=LIMIT).decode([None])
    assert [problem.reason for problem in plain.invalid] == [Reason.EMPTY]


METRIC = {
    "fields": {"usage_idle": 91.5, "usage_user": 3.1},
    "name": "cpu",
    "tags": {"cpu": "cpu-total", "host": "web-1"},
    "timestamp": 1_700_000_000,
}
FLAT = {"name": "cpu", "timestamp": 1_700_000_000, "cpu": "cpu-total", "host": "web-1", **METRIC["fields"]}  # type: ignore[dict-item]


def test_telegraf_gives_fields_and_tags_by_name() -> None:
    assert records(METRIC, TELEGRAF) == [FLAT]
    assert FLAT[TELEGRAF.time or ""] == METRIC["timestamp"]
    assert records({"metrics": [METRIC, {**METRIC, "name": "mem"}]}, TELEGRAF) == [FLAT, {**FLAT, "name": "mem"}]
    assert refusal({"cpu": 1}, TELEGRAF) == "not a metric of Telegraf in JSON, which has fields"


def test_a_tag_or_field_of_telegraf_does_not_hide_the_name_of_its_metric() -> None:
    disk = {
        "fields": {"reads": 7, "host": 1},
        "name": "diskio",
        "tags": {"name": "sda", "host": "db-1"},
        "timestamp": 1_700_000_000,
    }
    found = {"name": "diskio", "timestamp": 1_700_000_000, "tags.name": "sda", "host": "db-1", "fields.host": 1}
    assert records(disk, Layout("telegraf", where={"name": "diskio"})) == [{**found, "reads": 7}]
    assert records(disk, Layout("telegraf", where={"tags.name": "sda"}))


def test_metricbeat_loses_what_it_says_about_itself() -> None:
    event = {
        "@timestamp": "2026-01-05T11:00:00.000Z",
        "@metadata": {"beat": "metricbeat"},
        "agent": {"version": "8.11.0", "ephemeral_id": "x"},
        "ecs": {"version": "8.0.0"},
        "host": {"name": "web-1"},
        "event": {"dataset": "system.cpu", "duration": 115000},
        "metricset": {"name": "cpu", "period": 10000},
        "system": {"cpu": {"total": {"pct": 0.4}}},
    }
    assert records(event, Layout("metricbeat")) == [
        {
            "@timestamp": event["@timestamp"],
            "host": {"name": "web-1"},
            "event": {"dataset": "system.cpu"},
            "metricset": {"name": "cpu"},
            "system": {"cpu": {"total": {"pct": 0.4}}},
        }
    ]
    assert records(event, Layout("metricbeat", where={"event.dataset": "system.cpu"}))
    assert Layout("metricbeat").time in event
    assert not records(event, Layout("metricbeat", where={"event.dataset": "system.memory"}))


def attributes(**values: str) -> list[dict[str, Any]]:
    return [{"key": key.replace("_", "."), "value": {"stringValue": value}} for key, value in values.items()]


def points(*values: dict[str, Any], time: int = 1_700_000_000_000, **of: str) -> dict[str, Any]:
    return {"dataPoints": [{"attributes": attributes(**of), "timeUnixNano": f"{time}000000", **v} for v in values]}


def otlp(*metrics: dict[str, Any], host: str = "web-1") -> dict[str, Any]:
    scope = {"scope": {"name": "hostmetrics"}, "metrics": list(metrics)}
    about = [*attributes(host_name=host), {"key": "cores", "value": {"intValue": "8"}}]
    return {"resourceMetrics": [{"resource": {"attributes": about}, "scopeMetrics": [scope]}]}


def test_opentelemetry_gives_a_record_for_each_resource() -> None:
    document = otlp(
        {"name": "load.1m", "gauge": points({"asDouble": 0.5})},
        {"name": "processes", "sum": {**points({"asInt": "120"}), "isMonotonic": False}},
        {"name": "latency", "histogram": points({"count": "3", "sum": 0.9, "bucketCounts": ["1", "2"]})},
        {"name": "disk.free", "gauge": points({"asInt": "7"}, device="sda")},
        {"name": "lost", "gauge": points({"flags": 1})},
        {"name": "load.1m", "gauge": points({"asDouble": 0.6}, time=1_700_000_010_000)},
    )
    about = {"host.name": "web-1", "cores": 8}
    assert records(document, OTLP) == [
        {
            **about,
            "time": 1_700_000_000_000,
            "load.1m": 0.5,
            "processes": 120,
            "latency.count": 3,
            "latency.sum": 0.9,
            "disk.free.sda": 7,
        },
        {**about, "time": 1_700_000_010_000, "load.1m": 0.6},
    ]
    assert all(OTLP.time in record for record in records(document, OTLP))
    assert Layout().time is None
    assert records(otlp(), OTLP) == []
    assert JsonCodec(LIMIT, OTLP).refusal(json.dumps(otlp()).encode()) is None
    assert refusal({"resourceLogs": []}, OTLP) == "logs or traces: metrics of OpenTelemetry have resourceMetrics"
    broken = {
        "name is null, not text": otlp({"gauge": points({"asDouble": 1})}),
        "an element of resourceMetrics is a number, not an object": {"resourceMetrics": [5]},
        "timeUnixNano is text, not a whole number": otlp({"name": "a", "gauge": points({"timeUnixNano": "soon"})}),
        "asInt is a number, not a whole number": otlp({"name": "a", "gauge": points({"asInt": float("inf")})}),
        "asDouble is an array, not a number": otlp({"name": "a", "gauge": points({"asDouble": [1]})}),
        "dataPoints is an object, not an array": otlp({"name": "a", "gauge": {"dataPoints": {"a": 1}}}),
    }
    for told, document in broken.items():
        assert refusal(document, OTLP) == f"not OTLP in JSON: {told}"


@pytest.mark.parametrize(
    ("document", "path", "expected"),
    [
        ([{"a": 1}, {"a": 2}], ".", [{"a": 1}, {"a": 2}]),
        ({"h": "x", "items": [{"a": 1}, {"a": 2}]}, "items", [{"h": "x", "a": 1}, {"h": "x", "a": 2}]),
        ({"p": {"n": 3, "items": [{"a": 1}]}, "a": 0}, "p.items", [{"p": {"n": 3}, "a": 1}]),
        ({"p": {"items": [{"a": 1}]}}, "p.items", [{"a": 1}]),
        ({"p.items": [{"a": 1}], "p": 5}, "p.items", [{"p": 5, "a": 1}]),
        (
            {"h": "x", "metrics": [{"name": "cpu", "value": 1, "unit": "%"}, {"name": "mem", "value": None}]},
            "metrics",
            [{"h": "x", "cpu": 1, "mem": None}],
        ),
        ([{"key": "cpu", "v": 1}], ".", [{"cpu": 1}]),
        (
            {"metrics": [{"name": "cpu", "value": 1, "core": 0}, {"name": "cpu", "value": 2, "core": 1}]},
            "metrics",
            [{"name": "cpu", "value": 1, "core": 0}, {"name": "cpu", "value": 2, "core": 1}],
        ),
        ({"items": []}, "items", []),
        ({"items": None}, "items", []),
    ],
)
def test_an_array_is_unpacked_with_the_other_fields_beside_each_element(
    document: Any, path: str, expected: list[dict[str, Any]]
) -> None:
    assert records(document, Layout(unpack=path)) == expected


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"a": 1}, "items", "items is missing, where `unpack`=items expects an array"),
        ({"p": {}}, "p.items", "p.items is missing, where `unpack`=p.items expects an array"),
        ({"items": {"a": 1}}, "items", "items is an object, not an array: change `unpack`=items"),
        ({"a": 1}, ".", "the message is an object, not an array: change `unpack`=."),
        ([{"name": "a", "value": 1}, {"name": "a", "value": 2}], ".", "the message has two values called 'a'"),
        ([1, 2], ".", "a JSON object is expected, not a number"),
    ],
)
def test_what_cannot_be_unpacked_says_why(document: Any, path: str, message: str) -> None:
    assert records(document, Layout(unpack=path)) == []
    assert refusal(document, Layout(unpack=path)) == message


def test_elements_are_numbered_and_the_bad_ones_named_in_one_dead_letter() -> None:
    decoder = JsonDecoder([("a",)], max_record_bytes=LIMIT, layout=Layout(unpack="items", where={"on": "true"}))
    items = [{"a": 1}, {"a": "x"}, {"a": 2, "on": False}, 7, {"b": 1}, {"a": None}, {"a": 3}]
    values = [
        json.dumps({"on": True, "items": items}).encode(),
        b"{",
        json.dumps({"on": True, "items": [{"a": 4}]}).encode(),
        json.dumps({"on": True, "items": []}).encode(),
    ]
    decoded = decoder.decode(values, [b"k", b"l", b"m", b"n"], [10, 11, 12, 13])
    assert decoded.matrix.tolist() == [[1], [3], [4]]
    assert (decoded.rows.tolist(), decoded.elements.tolist()) == ([0, 0, 2], [0, 6, 0])
    assert (list(decoded.keys), decoded.timestamps.tolist()) == ([b"k", b"k", b"m"], [10, 10, 12])
    assert decoded.passed == {PassedOver.FILTERED: 1, PassedOver.NO_RECORDS: 1}
    first, second = decoded.invalid
    assert (first.row, first.reason) == (0, Reason.NOT_NUMERIC)
    assert first.message == (
        "element 1: a is text, not a number; element 3: a JSON object is expected, not a number; "
        "element 4: a is missing; and 1 more"
    )
    assert (second.row, second.reason) == (1, Reason.BAD_JSON)


def test_values_of_many_bytes_are_decoded_like_each_of_them_alone() -> None:
    decoder = JsonDecoder([("a",)], asides=["b"], max_record_bytes=2**21, layout=Layout(unpack=".", where={"on": "1"}))
    filler = [{"c": "x" * 300_000, "on": 0}]
    values = [
        json.dumps([*filler, {"a": n, "b": f"b{n}", "on": 1}, {"a": "x", "on": 1}] if n % 5 else []).encode()
        for n in range(20)
    ]
    together, alone = decoder.decode(values), [decoder.decode([value]) for value in values]
    assert together.matrix.tolist() == [[n] for n in range(20) if n % 5]
    assert together.rows.tolist() == [n for n in range(20) if n % 5]
    assert together.elements.tolist() == [1] * 16
    assert list(together.asides["b"]) == [f"b{n}" for n in range(20) if n % 5]
    assert [problem.message for problem in together.invalid] == [p.message for part in alone for p in part.invalid]
    assert [problem.row for problem in together.invalid] == together.rows.tolist()
    assert together.passed == {PassedOver.FILTERED: 16, PassedOver.NO_RECORDS: 4}


def test_arrays_of_a_known_form_are_unpacked_first() -> None:
    rows = [change("c", {"a": 1}), change("d", None), change("u", {"a": 2})]
    decoder = JsonDecoder([("a",)], max_record_bytes=LIMIT, layout=Layout("debezium", unpack="."))
    decoded = decoder.decode([json.dumps(rows).encode()])
    assert (decoded.matrix.tolist(), decoded.elements.tolist()) == ([[1], [2]], [0, 2])
    assert decoded.passed == {PassedOver.DELETED: 1}


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ({"name": "cpu"}, True),
        ({"name": "mem"}, False),
        ({"name": "cpu", "core": "0"}, True),
        ({"core": "0.0"}, True),
        ({"core": "first"}, False),
        ({"on": "true"}, True),
        ({"on": "false"}, False),
        ({"tags.env": "prod"}, True),
        ({"tags.env.x": "prod"}, False),
        ({"a.b": "1"}, True),
        ({"c.d.e": "2"}, True),
        ({"c.d.f": "2"}, False),
        ({"none": "null"}, True),
        ({"core": "*", "a.b": "*", "tags.env": "*"}, True),
        ({"none": "*"}, False),
        ({"other": "*"}, False),
        ({"other": "x"}, False),
    ],
)
def test_only_records_with_the_wanted_values_count(where: dict[str, str], matches: bool) -> None:
    record = {"name": "cpu", "core": 0, "on": True, "tags": {"env": "prod"}, "a.b": 1, "c.d": {"e": 2}, "none": None}
    assert records(record, Layout(where=where)) == ([record] if matches else [])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"a": 1}] * 20, "an array of 20 records: set `unpack`=."),
        (otlp({"name": "x", "gauge": points({"asDouble": 1})}), "metrics of OpenTelemetry: set `layout`=opentelemetry"),
        ({"metrics": [METRIC]}, "metrics of Telegraf: set `layout`=telegraf"),
        (change("c", {"a": 1}), "a change event of Debezium: set `layout`=debezium"),
        ({"schema": {}, "payload": change("d", None)}, "a change event of Debezium: set `layout`=debezium"),
    ],
)
def test_messages_of_another_layout_are_named(document: Any, message: str) -> None:
    assert records(document, Layout()) == []
    assert refusal(document) == message
    (problem,) = JsonDecoder([("a",)], max_record_bytes=LIMIT).decode([json.dumps(document).encode()]).invalid
    assert (problem.reason, problem.message) == (Reason.WRONG_SHAPE, message)


def test_plain_records_are_not_taken_for_those_of_another_layout() -> None:
    assert refusal({"a": 1}, DEBEZIUM) == "not a change event of Debezium: set `layout`=plain if it is a row itself"
    for record in (METRIC, {"op": "c", "after": 5, "before": 3}, {"schema": 1, "payload": 2}, {"metrics": [1]}):
        assert records(record, Layout()) == [record]


def test_a_model_of_whole_envelopes_goes_on() -> None:
    decoder = JsonDecoder([("after", "a")], max_record_bytes=LIMIT)
    assert decoder.decode([json.dumps(change("c", {"a": 1})).encode()]).matrix.tolist() == [[1]]


def test_scrapers_that_report_one_after_the_other_fill_one_record() -> None:
    idle = points({"asDouble": 0.1}, state="idle", cpu="cpu0")["dataPoints"]
    busy = points({"asDouble": 0.7}, time=1_700_000_000_003, cpu="cpu1")["dataPoints"]
    cpu = {"name": "cpu", "gauge": {"dataPoints": [*idle, *busy]}}
    both = otlp(cpu)
    both["resourceMetrics"] += otlp({"name": "load", "gauge": points({"asInt": 3}, time=1_700_000_000_009)})[
        "resourceMetrics"
    ]
    both["resourceMetrics"] += otlp({"name": "load", "gauge": points({"asInt": 4})}, host="web-2")["resourceMetrics"]
    about = {"cores": 8, "time": 1_700_000_000_000}
    assert records(both, OTLP) == [
        {"host.name": "web-1", **about, "cpu.cpu0.idle": 0.1, "cpu.cpu1": 0.7, "load": 3},
        {"host.name": "web-2", **about, "load": 4},
    ]
