"""Fields beside the features: where their names may be, what they hold, and that ordinary ones are read in C."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aestream.codecs.base import Decoded
from aestream.codecs.json import JsonDecoder
from aestream.codecs.layouts import Layout, paths_of, value_of
from aestream.codecs.typed import TypedRows
from aestream.columns import Column, Kind
from aestream.types import Reason

LIMIT = 1_000_000
PATHS = [("load",), ("cpu", "user")]
FEATURES = {"load": 1, "cpu": {"user": 2}}


def decode(values: Sequence[bytes], *asides: str, layout: Layout | None = None) -> Decoded:
    return JsonDecoder(PATHS, (), asides, max_record_bytes=LIMIT, layout=layout).decode(values)


def aside(name: str, **fields: Any) -> Any:
    """What a record with these fields beside its features has there."""
    decoded = decode([json.dumps({**FEATURES, **fields}).encode()], name)
    assert not decoded.invalid
    (value,) = decoded.asides[name]
    return value


def in_c(records: Sequence[dict[str, Any]], *asides: str, columns: Sequence[Column] = (Column(),) * 2) -> Decoded:
    """Records read by the typed decoder, none of which it leaves to the slow way."""
    typed = TypedRows.of(PATHS, columns, asides, max_record_bytes=LIMIT)
    assert typed is not None
    decoded, others = typed.read([json.dumps(record).encode() for record in records], range(len(records)))
    assert others == []
    return decoded


def test_the_paths_of_a_name_come_in_the_order_in_which_they_count() -> None:
    assert list(paths_of("a")) == [("a",)]
    assert list(paths_of("a.b.c")) == [("a.b.c",), ("a", "b.c"), ("a", "b", "c"), ("a.b", "c")]


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"a.b.c": 1, "a": {"b.c": 2}}, 1),
        ({"a": {"b.c": 2, "b": {"c": 3}}, "a.b": {"c": 4}}, 2),
        ({"a": {"b": {"c": 3}}, "a.b": {"c": 4}}, 3),
        ({"a": {}, "a.b": {"c": 4}}, 4),
        ({"a.b.c": None, "a": {"b": {"c": 3}}}, 3),
        ({"a.b.c": 0, "a": {"b": {"c": 3}}}, 0),
        ({"a.b.c": {}, "a": {"b": {"c": 3}}}, None),
        ({"a": "text", "a.b": {"c": 4}}, 4),
        ({"a": None, "a.b": [{"c": 4}]}, None),
        ({"a": {"b": "text"}}, None),
        ({}, None),
    ],
)
def test_a_dotted_name_is_a_field_or_lies_inside_objects(fields: dict[str, Any], value: Any) -> None:
    assert aside("a.b.c", **fields) == value


def test_ordinary_records_are_read_in_c_wherever_their_asides_are() -> None:
    records = [
        {**FEATURES, "host": "a", "cpu": {"user": 2, "socket": 3}, "tags": {"disk": "x"}},
        {**FEATURES, "host": None, "tags.disk": "y", "cpu.socket": True},
        {**FEATURES, "host": 4, "tags": {}},
    ]
    decoded = in_c(records, "host", "cpu.socket", "tags.disk", "load", "load.at")
    assert decoded.matrix.tolist() == [[1, 2]] * 3
    assert decoded.asides == {
        "host": ["a", None, 4],
        "cpu.socket": [3, True, None],
        "tags.disk": ["x", "y", None],
        "load": [1, 1, 1],
        "load.at": [None, None, None],
    }


def test_an_aside_that_is_a_feature_too_stays_as_it_is_in_json() -> None:
    columns = (Column(Kind.TIMESTAMP, unit="ms", imputed=True), Column(quoted=True, unit="s"))
    records: list[dict[str, Any]] = [
        {"load": 5000, "cpu": {"user": "3 ms"}},
        {"load": 5e3, "cpu": {"user": 2}},
        {"cpu": {"user": 2.0}},
    ]
    decoded = in_c(records, "load", "cpu.user", columns=columns)
    np.testing.assert_array_equal(decoded.matrix, [[5, 0.003], [5, 2], [np.nan, 2]])
    assert decoded.asides == {"load": [5000, 5000.0, None], "cpu.user": ["3 ms", 2, 2.0]}
    assert list(map(type, decoded.asides["cpu.user"])) == [str, int, float]
    kinds = (Column(Kind.BOOLEAN), Column(Kind.CATEGORICAL, ("eu",)))
    found = in_c([{"load": True, "cpu": {"user": "us"}}], "load", "cpu.user", columns=kinds)
    assert (found.matrix.tolist(), found.asides) == ([[1, -1]], {"load": [True], "cpu.user": ["us"]})


@pytest.mark.parametrize("digits", [20, 308, 310, 4000])
def test_an_integer_keeps_all_its_digits(digits: int) -> None:
    number = int("9" * digits)
    assert aside("serial", serial=number) == number
    values = [b'{"load":%d,"cpu":{"user":2}}' % number, b'{"load":1,"cpu":{"user":2}}']
    decoded = decode(values, "load")
    plain = decode(values)
    np.testing.assert_array_equal(decoded.matrix, plain.matrix)
    assert decoded.invalid == plain.invalid
    assert decoded.asides["load"] == ([number, 1] if digits < 309 else [1])


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "1e400", "NaN", "-Infinity", "{}", '{"x":1}', "[]", "[1]", "null"],
    ids=lambda text: text[:9],
)
def test_what_is_no_text_number_or_boolean_is_none(text: str) -> None:
    values = [b'{"load":%d,"cpu":{"user":2},"host":%s}' % (row, text.encode()) for row in range(3)]
    values.insert(1, b'{"load":7,"cpu":{"user":2},"host":"h"}')
    decoded = decode(values, "host")
    assert decoded.matrix[:, 0].tolist() == [0, 7, 1, 2]
    assert decoded.asides == {"host": [None, "h", None, None]}


def test_a_long_text_is_whole() -> None:
    assert aside("host", host="é" * 100_000) == "é" * 100_000


@pytest.mark.parametrize("names", [["host"], ["host", 'a"b'], ["host", "host.name"]], ids=",".join)
def test_text_that_is_no_utf8_costs_no_record(names: list[str]) -> None:
    broken = b'{"load":1,"cpu":{"user":2},"host":"\xff"}'
    values = [broken, b'{"load":3,"cpu":{"user":2},"host":"h"}', b"{", b'{"load":"x","cpu":{},"host":"\xff"}', broken]
    decoded, plain = decode(values, *names), decode(values)
    np.testing.assert_array_equal(decoded.matrix, plain.matrix)
    assert decoded.rows.tolist() == plain.rows.tolist() == [0, 1, 4]
    assert decoded.invalid == plain.invalid
    assert [problem.reason for problem in decoded.invalid] == [Reason.BAD_JSON, Reason.NOT_NUMERIC]
    assert decoded.asides == {"host": ["\ufffd", "h", "\ufffd"], **{name: [None] * 3 for name in names[1:]}}


@pytest.mark.parametrize("name", ["é", "a b", "", "class", 'a"b', "a\\b", "a\nb", "a.b.c.d.e.f.g", ".", "cpu", "f0"])
def test_any_name_can_be_an_aside(name: str) -> None:
    assert aside(name, **{name: "x"} if name != "cpu" else {}) == ("x" if name != "cpu" else None)


def test_asides_stay_with_the_records_of_a_message_that_holds_several() -> None:
    document = {"host": "a", "items": [{**FEATURES, "disk": 1}, {"load": "?"}, {**FEATURES, "host": {"name": "b"}}]}
    values = [json.dumps(document).encode(), b'{"items":[]}', json.dumps({"items": [FEATURES], "host": "c"}).encode()]
    decoded = decode(values, "host", "disk", "host.name", layout=Layout(unpack="items"))
    assert (decoded.rows.tolist(), decoded.elements.tolist()) == ([0, 0, 2], [0, 2, 0])
    assert decoded.asides == {"host": ["a", None, "c"], "disk": [1, None, None], "host.name": [None, "b", None]}


@pytest.mark.parametrize(
    ("layout", "document", "asides"),
    [
        ("debezium", {"op": "c", "before": None, "after": {**FEATURES, "id": 7}}, {"id": 7, "op": None}),
        (
            "telegraf",
            {"fields": {"load": 1, "cpu.user": 2}, "name": "cpu", "tags": {"host": "a"}, "timestamp": 17},
            {"host": "a", "timestamp": 17},
        ),
        ("metricbeat", {**FEATURES, "host": {"name": "a"}, "@timestamp": "x"}, {"host.name": "a", "@timestamp": "x"}),
    ],
)
def test_asides_are_fields_of_the_record_in_any_layout(layout: str, document: Any, asides: dict[str, Any]) -> None:
    paths = [("load",), ("cpu.user",)] if layout == "telegraf" else PATHS
    decoder = JsonDecoder(paths, (), list(asides), max_record_bytes=LIMIT, layout=Layout(layout))
    decoded = decoder.decode([json.dumps(document).encode()])
    assert decoded.asides == {name: [value] for name, value in asides.items()}


def _random_fields(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    plain = [0, 17, 2**65, -1.5, 1e300, True, None, "", "text", "é", [], [1]]
    names = ["a", "b", "c", "a.b", "b.c", "a.b.c", "load"]
    return {
        rng.choice(names): _random_fields(rng, depth - 1) if depth and rng.random() < 0.4 else rng.choice(plain)
        for _ in range(rng.randrange(5))
    }


@pytest.mark.parametrize(
    "names", [["a"], ["a.b"], ["a.b.c", "load"], ["c", "load.a"], ["a", "a.b"], ["cpu.user", "cpu.a"]], ids=",".join
)
def test_random_records_have_the_asides_of_the_parsed_document(names: list[str]) -> None:
    rng = random.Random(len(names[0]))
    values = []
    for _ in range(1000):
        record = {**_random_fields(rng), "cpu": {**_random_fields(rng), "user": rng.choice([1, 2.5])}}
        values.append(json.dumps(record | ({"load": 1} if rng.random() < 0.8 else {})).encode())
    decoded, plain = decode(values, *names), decode(values)
    np.testing.assert_array_equal(decoded.matrix, plain.matrix)
    assert decoded.rows.tolist() == plain.rows.tolist()
    assert decoded.invalid == plain.invalid
    assert len(decoded.rows) > 500
    for name in names:
        found = [value_of(json.loads(values[row]), name) for row in decoded.rows]
        expected = [None if isinstance(value, dict | list) else value for value in found]
        assert decoded.asides[name] == expected
        assert list(map(type, decoded.asides[name])) == list(map(type, expected))
