"""JSON beyond the contract: names, nesting, and `json.loads` as the judge of random documents."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest

from aestream.codecs.json import JsonCodec, JsonDecoder
from aestream.errors import DataError
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


@pytest.mark.parametrize("name", ["é", "😀", "a b", "", "a.b", "class", "__proto__", "f0"], ids=repr)
def test_any_name_but_those_with_quotes_can_be_a_feature(name: str) -> None:
    codec = JsonDecoder([("x",), (name,)], max_record_bytes=LIMIT)
    assert only(codec, json.dumps({name: 2.5, "x": 1}).encode()) == [1.0, 2.5]
    assert only(codec, json.dumps({name: 2.5, "x": 1}, ensure_ascii=False).encode()) == [1.0, 2.5]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_name_that_the_typed_decoder_cannot_take_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(DataError, match="`exclude`"):
        JsonDecoder([(name,)], max_record_bytes=LIMIT)


def test_a_dotted_name_and_a_nested_path_are_different_features() -> None:
    nested, dotted = decoder("a/b"), decoder("a.b")
    assert only(nested, b'{"a":{"b":1},"a.b":2}') == [1.0]
    assert only(dotted, b'{"a":{"b":1},"a.b":2}') == [2.0]
    assert reason(nested, b'{"a.b":2}') == (Reason.MISSING_FEATURE, "a.b is missing")


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
    "text", ["1e400", "-1e400", "1" + "0" * 400, "9" * 5000, "NaN", "Infinity", "-Infinity"], ids=lambda t: t[:9]
)
def test_a_number_without_a_finite_value_is_not_finite(text: str) -> None:
    assert reason(decoder("a"), f'{{"a":{text}}}'.encode()) == (Reason.NOT_FINITE, "a is not finite")


@pytest.mark.parametrize("kind", ["[", '{"x":'])
def test_absurd_nesting_is_bad_json_and_no_crash(kind: str) -> None:
    value = b'{"a":1,"deep":' + kind.encode() * 100_000
    assert reason(decoder("a"), value)[0] is Reason.BAD_JSON


def test_a_byte_order_mark_and_a_nan_elsewhere_are_named() -> None:
    mark = reason(decoder("a"), b'\xef\xbb\xbf{"a":1}')
    elsewhere = reason(decoder("a"), b'{"a":1,"b":NaN}')
    assert mark[0] is elsewhere[0] is Reason.BAD_JSON
    assert "byte 11" in elsewhere[1]


def test_what_nobody_looks_at_may_be_no_utf8() -> None:
    assert only(decoder("a"), b'{"a":1,"host":"\xff"}') == [1.0]


def test_only_objects_teach_the_features() -> None:
    values = [b'{"a":1}', b"[1]", b"{", None, b"", b'"x"', b"\xff", b'{"b":{"c":2}}']
    assert JsonCodec(LIMIT).documents(values) == [{"a": 1}, *[None] * 6, {"b": {"c": 2}}]


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
