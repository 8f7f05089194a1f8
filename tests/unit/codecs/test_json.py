"""JSON beyond the contract: names, nesting, and `json.loads` as the judge of random documents."""

from __future__ import annotations

import gzip
import json
import math
import random
from typing import Any

import numpy as np
import pytest

from aestream.codecs.json import JsonCodec, JsonDecoder
from aestream.columns import Column
from aestream.types import Reason

LIMIT = 1_000_000


def decoder(*names: str) -> JsonDecoder:
    return JsonDecoder([tuple(name.split("/")) for name in names], max_record_bytes=LIMIT)


def only(codec: JsonDecoder, value: bytes) -> list[float]:
    decoded = codec.decode([value])
    assert not decoded.invalid
    row: list[float] = decoded.matrix[0].tolist()
    return row


def reason(codec: JsonDecoder, value: bytes) -> tuple[Reason, str]:
    decoded = codec.decode([value])
    assert decoded.matrix.shape == (0, decoded.matrix.shape[1])
    return decoded.invalid[0].reason, decoded.invalid[0].message


@pytest.mark.parametrize(
    "name", ["é", "😀", "a b", "", "a.b", "class", "__proto__", "f0", 'a"b', "a\\b", "a\nb", "{a}", "a\x00"], ids=repr
)
def test_any_name_can_be_a_feature(name: str) -> None:
    for codec, record in (
        (JsonDecoder([("x",), (name,)], max_record_bytes=LIMIT), {name: 2.5, "x": 1}),
        (JsonDecoder([("x",), ("y", name)], max_record_bytes=LIMIT), {"y": {name: 2.5}, "x": 1}),
    ):
        assert only(codec, json.dumps(record).encode()) == [1.0, 2.5]
        assert only(codec, json.dumps(record, ensure_ascii=False).encode()) == [1.0, 2.5]
        problem, message = reason(codec, b'{"x":1}')
        assert problem is Reason.MISSING_FEATURE
        assert name in message


def test_a_dotted_name_and_a_nested_path_are_different_features() -> None:
    nested, dotted = decoder("a/b"), decoder("a.b")
    assert only(nested, b'{"a":{"b":1},"a.b":2}') == [1.0]
    assert only(dotted, b'{"a":{"b":1},"a.b":2}') == [2.0]
    assert reason(nested, b'{"a.b":2}') == (Reason.MISSING_FEATURE, "a.b is missing")


def test_a_field_that_is_a_number_here_and_an_object_there_can_be_both() -> None:
    columns = (Column(imputed=True), Column(imputed=True))
    codec = JsonDecoder([("cpu",), ("cpu", "user")], columns, max_record_bytes=LIMIT)
    decoded = codec.decode([b'{"cpu":1}', b'{"cpu":{"user":2}}', b"{}"])
    assert [problem.message for problem in decoded.invalid] == [
        "cpu.user is missing",
        "cpu is an object, not a number",
        "it has none of the model's features",
    ]


def test_paths_keep_their_order_however_they_are_nested() -> None:
    codec = decoder("a/b", "c", "a/d/e", "f")
    assert only(codec, b'{"f":4,"a":{"d":{"e":3},"b":1},"c":2}') == [1.0, 2.0, 3.0, 4.0]


def test_the_last_of_duplicate_keys_counts() -> None:
    assert only(decoder("a"), b'{"a":1,"a":2}') == [2.0]
    assert reason(decoder("a"), b'{"a":1,"a":"x"}')[0] is Reason.NOT_NUMERIC


@pytest.mark.parametrize(
    ("text", "number"),
    [("123456789012345678901234567890", 123456789012345678901234567890.0), ("-0", 0.0), ("1e5", 1e5), ("1E-400", 0.0)],
)
def test_numbers_of_any_spelling_are_read(text: str, number: float) -> None:
    assert only(decoder("a"), f'{{"a":{text}}}'.encode()) == [number]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1e400", "Infinity"),
        ("-1e400", "-Infinity"),
        ("1" + "0" * 400, "a number too large"),
        ("9" * 5000, "Infinity"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ('"inf"', "'inf'"),
    ],
    ids=lambda t: t[:9],
)
def test_a_number_without_a_finite_value_is_not_finite(text: str, what: str) -> None:
    assert reason(decoder("a"), f'{{"a":{text}}}'.encode()) == (Reason.NOT_FINITE, f"a is {what}")


@pytest.mark.parametrize("kind", ["[", '{"x":'])
def test_absurd_nesting_is_bad_json_and_no_crash(kind: str) -> None:
    value = b'{"a":1,"deep":' + kind.encode() * 100_000
    assert reason(decoder("a"), value)[0] is Reason.BAD_JSON


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_not_a_number_does_not_matter_where_nobody_looks(token: str) -> None:
    values = [f'{{"a":{i},"b":{token},"c":"NaN, b","d":[{token}]}}'.encode() for i in range(100)]
    decoded = decoder("a").decode([*values, b'{"a":7}'])
    assert decoded.matrix[:, 0].tolist() == [*range(100), 7]
    assert not decoded.invalid
    assert [len(found) for found in JsonCodec(LIMIT).documents(values)] == [1] * 100


def test_not_a_number_where_a_feature_may_be_missing_is_missing() -> None:
    codec = JsonDecoder([("a",), ("b",)], (Column(), Column(imputed=True)), max_record_bytes=LIMIT)
    values = [b'{"a":1,"b":NaN}', b'{"a":2,"b":-Infinity}', b'{"a":3,"b":"N/A"}', b'{"a":4,"b":5}', b'{"a":NaN,"b":5}']
    decoded = codec.decode(values)
    np.testing.assert_array_equal(decoded.matrix, [[1, np.nan], [2, np.nan], [3, np.nan], [4, 5]])
    assert [(problem.row, problem.message) for problem in decoded.invalid] == [(4, "a is NaN")]


def test_numbers_in_quotes_are_read_as_batches_and_their_gaps_are_named() -> None:
    columns = (Column(quoted=True), Column(quoted=True, unit="s", imputed=True))
    codec = JsonDecoder([("a",), ("b",)], columns, max_record_bytes=LIMIT)
    texts = [("1.5", "12 ms"), (2, "3 s"), ("NaN", "1 s"), ("x", "1 s"), ("4", "N/A"), ("5", None), ("6", "7 kB")]
    decoded = codec.decode([json.dumps({"a": a, "b": b}).encode() for a, b in texts])
    np.testing.assert_array_equal(decoded.matrix, [[1.5, 0.012], [2.0, 3.0], [4.0, np.nan], [5.0, np.nan]])
    assert [(problem.row, problem.reason) for problem in decoded.invalid] == [
        (2, Reason.MISSING_FEATURE),
        (3, Reason.NOT_NUMERIC),
        (6, Reason.NOT_NUMERIC),
    ]
    assert decoded.invalid[0].message == "a is 'NaN', which stands for a missing value"


def test_a_byte_order_mark_is_passed_over() -> None:
    assert only(decoder("a"), b'\xef\xbb\xbf{"a":1}') == [1.0]


def test_json_behind_a_schema_registry_is_read() -> None:
    framed = [b"\x00\x00\x00\x00\x07" + json.dumps({"a": i}).encode() for i in range(3)]
    decoded = decoder("a").decode([*framed, b'{"a":3}', None])
    assert decoded.matrix[:, 0].tolist() == [0, 1, 2, 3]
    assert [problem.reason for problem in decoded.invalid] == [Reason.EMPTY]
    assert decoder("a").decode([b'{"a":3}', *framed]).matrix[:, 0].tolist() == [3, 0, 1, 2]
    assert [list(found) for found in JsonCodec(LIMIT).documents(framed)] == [[{"a": i}] for i in range(3)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"\x00\x00\x00\x00\x07\x02\x1ccpu", "Avro or Protobuf behind a schema registry (schema 7), which is not read"),
        (gzip.compress(b'{"a":1}', mtime=0), "gzip data, which is not read"),
        (b"Obj\x01\x04\x14avro.codec", "an Avro file, which is not read"),
        ('{"a":1}'.encode("utf-16"), "binary data, not JSON in UTF-8"),
        (b"\x08\x96\x01", "binary data, not JSON in UTF-8"),
        (b"cpu,host=a value=1", "not JSON: Expecting value"),
        (b'{"a":1,}', "not JSON: "),
        (b'{"a":1,"b":NaN,"c":"\\ud800"}', "half of a surrogate pair"),
        (b"\xef\xbb\xbf", "not JSON: "),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_named(value: bytes, message: str) -> None:
    found = reason(decoder("a"), value)
    assert found[0] is Reason.BAD_JSON
    assert message in found[1]
    assert JsonCodec(LIMIT).refusal(value) == found[1]


def test_json_that_is_encoded_twice_is_named() -> None:
    value = json.dumps(json.dumps({"a": 1})).encode()
    assert reason(decoder("a"), value) == (
        Reason.WRONG_SHAPE,
        "a JSON object is expected, not text that holds JSON: the producer encodes it twice",
    )


def test_what_nobody_looks_at_may_be_no_utf8() -> None:
    assert only(decoder("a"), b'{"a":1,"host":"\xff"}') == [1.0]


def test_only_objects_teach_the_features() -> None:
    values = [b'{"a":1}', b"[1]", b"{", None, b"", b'"x"', b"\xff", b'{"b":{"c":2}}']
    assert list(map(list, JsonCodec(LIMIT).documents(values))) == [[{"a": 1}], *[[]] * 6, [{"b": {"c": 2}}]]


def _random_value(rng: random.Random, depth: int) -> Any:
    choice = rng.randrange(10 if depth else 7)
    if choice < 3:
        return rng.choice([0, -1, 17, 2**40, 10**25, 1.5, -2.25e-7, 3.0, 1e300])
    if choice < 7:
        return rng.choice(["", "text", "1", "\u00e9\u20ac", 'qu"ote\\', True, False, None])
    if choice == 7:
        return [_random_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return _random_object(rng, depth - 1)


def _random_object(rng: random.Random, depth: int) -> dict[str, Any]:
    return {rng.choice("abcde"): _random_value(rng, depth) for _ in range(rng.randrange(6))}


def _damage(rng: random.Random, value: bytes) -> bytes:
    place = rng.randrange(len(value) + 1)
    change = rng.choice([b"", b"{", b"}", b",", b'"', b"0", b"-", b" ", b":", b"\\"])
    return value[:place] + change + value[place + rng.randrange(2) :]


def _expected(value: bytes, paths: list[tuple[str, ...]]) -> list[float] | None:
    """What `json.loads` makes of it; None where the record cannot be scored."""
    try:
        text = value.decode(errors="replace")
        document = json.loads(text, parse_constant=lambda name: 1 / 0 if name else None)
    except (ValueError, ZeroDivisionError):
        return None
    row = []
    for path in paths:
        node: Any = document
        for part in path:
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        if isinstance(node, str) and node.strip() and "_" not in node:
            try:
                node = float(node)
            except ValueError:
                return None
        if isinstance(node, bool) or not isinstance(node, int | float) or not math.isfinite(node):
            return None
        row.append(float(node))
    return row


@pytest.mark.parametrize("seed", range(5))
def test_random_documents_are_read_as_json_loads_reads_them(seed: int) -> None:
    rng = random.Random(seed)
    paths = [("a",), ("b", "c"), ("d",)][: 1 + seed % 3]
    codec = JsonDecoder(paths, max_record_bytes=LIMIT)
    values = []
    for _ in range(2000):
        document = _random_object(rng, 3)
        if rng.random() < 0.7:
            document |= {"a": rng.random(), "b": {"c": rng.randrange(9)}, "d": -rng.random()}
        value = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode()
        values.append(_damage(rng, value) if rng.random() < 0.3 else value)
    decoded = codec.decode(values)
    expected = [_expected(value, paths) for value in values]
    good = [row for row, numbers in enumerate(expected) if numbers is not None]
    assert 500 < len(good) < 1900
    assert decoded.rows.tolist() == good
    np.testing.assert_array_equal(decoded.matrix, [expected[row] for row in good])
    assert sorted([*decoded.rows.tolist(), *(problem.row for problem in decoded.invalid)]) == list(range(2000))
