"""What every codec does with its values: a new one is listed in CODECS, with its way to write a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from aestream.codecs.base import Codec, Decoder
from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.columns import Column, Kind
from aestream.features.schema import FeatureSchema
from aestream.types import Invalid, Reason

LIMIT = 200
Write = Callable[[Any], bytes]


@dataclass(frozen=True)
class Listed:
    """A codec of at most 200 bytes a record, its way to write one, and values of its own that are not records."""

    codec: Codec
    write: Write
    broken: Mapping[str, bytes]


def as_json(record: Any) -> bytes:
    return json.dumps(record).encode()


NO_JSON = {
    "spaces": b"   ",
    "cut off": b'{"load":1',
    "two values": b"{}{}",
    "not text": b"\xff\xfe\x00\x01",
    "zeros": b"\x00" * 50,
}
CODECS = {
    "json": Listed(JsonCodec(LIMIT), as_json, NO_JSON),
    "json, not by the typed decoder": Listed(JsonCodec(LIMIT, Layout("metricbeat")), as_json, NO_JSON),
    "json behind a schema registry": Listed(JsonCodec(LIMIT), lambda r: b"\x00\x00\x00\x00\x07" + as_json(r), NO_JSON),
    "json behind a byte order mark": Listed(JsonCodec(LIMIT), lambda r: b"\xef\xbb\xbf" + as_json(r), NO_JSON),
}
SCHEMA = FeatureSchema(("load", "cpu.user", "cpu.system"), (("load",), ("cpu", "user"), ("cpu", "system")))


@pytest.fixture(params=list(CODECS))
def listed(request: pytest.FixtureRequest) -> Listed:
    return CODECS[request.param]


@pytest.fixture
def codec(listed: Listed) -> tuple[Decoder, Write]:
    return listed.codec.decoder(SCHEMA), listed.write


def no_records(listed: Listed) -> list[bytes | None]:
    """Values that are not records in this format, whatever the schema."""
    return [None, b"", *listed.broken.values(), b"x" * (LIMIT + 1)]


def good(i: float) -> dict[str, Any]:
    return {"host": "h", "cpu": {"system": i + 2, "user": i + 1, "idle": None}, "load": i}


def bad(**changes: Any) -> dict[str, Any]:
    record = good(0)
    for name, value in changes.items():
        part = record["cpu"] if name in {"user", "system"} else record
        if value is ...:
            del part[name]
        else:
            part[name] = value
    return record


INVALID = {
    "missing": (bad(load=...), Reason.MISSING_FEATURE, "load is missing"),
    "missing nested": (bad(system=...), Reason.MISSING_FEATURE, "cpu.system is missing"),
    "missing parent": (bad(cpu=...), Reason.MISSING_FEATURE, "cpu.user is missing"),
    "parent is a number": (bad(cpu=1), Reason.MISSING_FEATURE, "cpu.user is missing"),
    "null": (bad(load=None), Reason.NOT_NUMERIC, "load is null, not a number"),
    "text": (bad(user="twelve"), Reason.NOT_NUMERIC, "cpu.user is text, not a number"),
    "a word for nothing": (bad(user="N/A"), Reason.MISSING_FEATURE, "cpu.user is 'N/A', which stands for a missing"),
    "a unit": (bad(user="3 ms"), Reason.NOT_NUMERIC, "cpu.user is text with a unit (ms): `units`=cpu.user reads it as"),
    "boolean": (bad(load=True), Reason.NOT_NUMERIC, "load is a boolean, not a number"),
    "array": (bad(load=[1]), Reason.NOT_NUMERIC, "load is an array, not a number"),
    "object": (bad(load={"x": 1}), Reason.NOT_NUMERIC, "load is an object, not a number"),
    "NaN": (bad(load=float("nan")), Reason.NOT_FINITE, "load is NaN"),
    "infinite": (bad(system=float("-inf")), Reason.NOT_FINITE, "cpu.system is -Infinity"),
    "too large": (bad(host="h" * LIMIT), Reason.TOO_LARGE, "more than the limit of 200"),
    "an array": ([1, 2], Reason.WRONG_SHAPE, "an array"),
    "a number": (7, Reason.WRONG_SHAPE, "a number"),
    "a text": ("x", Reason.WRONG_SHAPE, "text"),
    "a null": (None, Reason.WRONG_SHAPE, "null"),
}


def test_good_rows_become_numbers_in_the_order_of_the_schema(codec: tuple[Decoder, Write]) -> None:
    decoder, write = codec
    decoded = decoder.decode([write(good(i)) for i in range(5)])
    assert decoded.matrix.dtype == np.float64
    assert decoded.matrix.tolist() == [[i, i + 1, i + 2] for i in range(5)]
    assert decoded.rows.tolist() == [0, 1, 2, 3, 4]
    assert not decoded.invalid


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_record_says_why(codec: tuple[Decoder, Write], name: str) -> None:
    decoder, write = codec
    record, reason, message = INVALID[name]
    decoded = decoder.decode([write(record)])
    assert len(decoded.matrix) == len(decoded.rows) == 0
    (problem,) = decoded.invalid
    assert (problem.row, problem.reason) == (0, reason)
    assert message in problem.message


def test_what_is_not_a_record_at_all_says_why(listed: Listed) -> None:
    decoder = listed.codec.decoder(SCHEMA)
    values = no_records(listed)
    problems = decoder.decode(values).invalid
    assert [problem.row for problem in problems] == list(range(len(values)))
    assert [problem.reason for problem in problems[:2]] == [Reason.EMPTY, Reason.EMPTY]
    assert problems[-1].reason is Reason.TOO_LARGE
    assert len({problem.reason for problem in problems[2:-1]}) == 1  # the one for what cannot be read
    assert all(problem.message and "\n" not in problem.message for problem in problems)


def test_invalid_rows_take_nothing_from_their_neighbours(listed: Listed) -> None:
    decoder, write = listed.codec.decoder(SCHEMA), listed.write
    values: list[bytes | None] = []
    places = []
    for value in [*(write(record) for record, _, _ in INVALID.values()), *no_records(listed)]:
        places.append(len(values) + 1)
        values += [write(good(len(values))), value]
    values.append(write(good(len(values))))
    decoded = decoder.decode(values)
    assert [problem.row for problem in decoded.invalid] == places
    assert decoded.rows.tolist() == [row for row in range(len(values)) if row not in places]
    assert decoded.matrix[:, 0].tolist() == decoded.rows.tolist()
    assert np.isfinite(decoded.matrix).all()


def test_a_batch_may_be_empty_or_all_invalid(codec: tuple[Decoder, Write]) -> None:
    decoder, _ = codec
    assert decoder.decode([]).matrix.shape == (0, 3)
    broken = decoder.decode([None, b"", b"["] * 100)
    assert broken.matrix.shape == (0, 3)
    assert [problem.row for problem in broken.invalid] == list(range(300))


def test_a_decoder_can_be_used_again_and_leaves_the_values_alone(codec: tuple[Decoder, Write]) -> None:
    decoder, write = codec
    values = [write(good(1)), b"{", write(good(2))]
    before = list(values)
    first, second = decoder.decode(values), decoder.decode(values)
    assert values == before
    np.testing.assert_array_equal(first.matrix, second.matrix)
    assert first.invalid == second.invalid


def test_keys_and_timestamps_stay_with_the_valid_rows(kinds: tuple[Decoder, Write]) -> None:
    decoder, write = kinds
    records = [FIRST, [1], {**FIRST, "at": "never"}, SPARSE, {**FIRST, "sent": float("inf")}, FIRST]
    values = [*map(write, records), None]
    keys = [b"a", b"b", b"c", None, b"e", b"f", b"g"]
    decoded = decoder.decode(values, keys, range(1000, 1007))
    assert decoded.rows.tolist() == [0, 3, 5]
    assert list(decoded.keys) == [b"a", None, b"f"]
    assert decoded.timestamps.dtype == np.int64
    assert decoded.timestamps.tolist() == [1000, 1003, 1005]
    whole = decoder.decode(values[:1], keys[:1], [7])
    assert (list(whole.keys), whole.timestamps.tolist()) == ([b"a"], [7])


def test_values_that_have_no_keys_get_none(codec: tuple[Decoder, Write]) -> None:
    decoder, write = codec
    decoded = decoder.decode([write(good(1)), None, write(bad(load=float("nan")))])
    assert decoded.rows.tolist() == [0]
    assert len(decoded.keys) == len(decoded.timestamps) == 0


def test_rows_that_fall_out_later_go_to_the_invalid_ones(codec: tuple[Decoder, Write]) -> None:
    decoder, write = codec
    decoded = decoder.decode([write(good(0)), None, write(good(2)), write(good(3))], [b"a", b"b", b"c", b"d"], [9] * 4)
    fewer = decoded.without({2: Invalid(3, Reason.TOO_LARGE, "no room"), 0: Invalid(0, Reason.TOO_LARGE, "no room")})
    assert (fewer.rows.tolist(), fewer.matrix[:, 0].tolist(), list(fewer.keys)) == ([2], [2.0], [b"c"])
    assert fewer.timestamps.tolist() == [9]
    assert [problem.row for problem in fewer.invalid] == [0, 1, 3]
    assert decoded.without({}) is decoded


def test_whole_records_are_read_and_others_are_none_and_say_why(listed: Listed) -> None:
    made, write = listed.codec, listed.write
    others = no_records(listed)
    values = [write(good(1)), *others, write(good(2)), write([1]), write("x")]
    found = [list(records) for records in made.documents(values)]
    assert found == [[good(1)], *[[]] * len(others), [good(2)], [], []]
    assert made.documents([]) == []
    assert [made.refusal(value) is None for value in values] == [bool(records) for records in found]
    assert made.record.startswith(("a ", "an "))


ASIDES: dict[str, list[Any]] = {
    "host": ["web-1", "", None, None, True],
    "spare": [None, False, None, None, -0.5],
    "cpu.socket": [3, None, None, None, 2**70],
    "load": [0, 1, 2, 3, 4],
    "x.y.z": [None, 1.5, -2, 1e300, "z"],
    "cpu": [None] * 5,
    "nowhere": [None] * 5,
    "host.name": [None, None, None, "a", None],
}


def beside_features(write: Write) -> list[bytes | None]:
    """Five valid records with the fields in ASIDES, among values that are none."""
    fields: list[dict[str, Any]] = [
        {"host": "web-1", "cpu": {**good(0)["cpu"], "socket": 3}},
        {"host": "", "spare": False, "x.y": {"z": 1.5}},
        {"host": None, "spare": [1], "x": {"y.z": -2}},
        {"host": {"name": "a"}, "spare": float("nan"), "x": {"y": {"z": 1e300}}},
        {"host": True, "spare": -0.5, "cpu": {**good(4)["cpu"], "socket": 2**70}, "x": {"y": {"z": "z"}}},
    ]
    first, *others = (write({**good(i), **more}) for i, more in enumerate(fields))
    return [None, first, write(bad(load=None)), *others, b"{"]


@pytest.mark.parametrize("names", [*([name] for name in ASIDES), ["host", "x.y.z"], list(ASIDES)], ids=",".join)
def test_asides_are_what_the_valid_records_have_there(listed: Listed, names: list[str]) -> None:
    values = beside_features(listed.write)
    decoded = listed.codec.decoder(SCHEMA, names).decode(values, [b"k"] * len(values), range(len(values)))
    assert decoded.rows.tolist() == [1, 3, 4, 5, 6]
    assert {name: list(found) for name, found in decoded.asides.items()} == {name: ASIDES[name] for name in names}
    for name in names:
        assert list(map(type, decoded.asides[name])) == list(map(type, ASIDES[name]))
    fewer = decoded.without({1: Invalid(3, Reason.TOO_LARGE, "no room"), 3: Invalid(5, Reason.TOO_LARGE, "no room")})
    assert fewer.asides == {name: [ASIDES[name][place] for place in (0, 2, 4)] for name in names}


def test_asides_change_nothing_else(listed: Listed) -> None:
    records = [*(record for record, _, _ in INVALID.values()), good(1), {**good(2), "host": ["h"]}]
    values = [*map(listed.write, records), *no_records(listed), *beside_features(listed.write)]
    plain = listed.codec.decoder(SCHEMA).decode(values)
    for names in (["host"], ["load", "cpu.user"], list(ASIDES)):
        decoded = listed.codec.decoder(SCHEMA, names).decode(values)
        np.testing.assert_array_equal(decoded.matrix, plain.matrix)
        assert decoded.rows.tolist() == plain.rows.tolist()
        assert decoded.invalid == plain.invalid
    assert plain.asides == {}
    assert listed.codec.decoder(SCHEMA, ["host"]).decode([]).asides == {"host": []}
    assert listed.codec.decoder(SCHEMA, ["host"]).decode(no_records(listed)).asides == {"host": []}


KINDS = FeatureSchema(
    ("load", "ok", "region", "at", "sent", "cpu.user"),
    (("load",), ("ok",), ("region",), ("at",), ("sent",), ("cpu", "user")),
    (
        Column(imputed=True),
        Column(Kind.BOOLEAN),
        Column(Kind.CATEGORICAL, ("eu", "us"), imputed=True),
        Column(Kind.TIMESTAMP, unit="text", imputed=True),
        Column(Kind.TIMESTAMP, unit="ms"),
        Column(imputed=True),
    ),
)
FIRST = {"load": 1, "ok": True, "region": "us", "at": "2026-01-05T11:00:00Z", "sent": 5000, "cpu": {"user": 2.5}}
SPARSE = {"ok": False, "sent": 0}


@pytest.fixture
def kinds(listed: Listed) -> tuple[Decoder, Write]:
    return listed.codec.decoder(KINDS), listed.write


def test_every_kind_becomes_a_number_and_what_may_be_missing_nan(kinds: tuple[Decoder, Write]) -> None:
    decoder, write = kinds
    nulls = {**SPARSE, "load": None, "region": None, "at": None, "cpu": {"user": None}}
    words = {**SPARSE, "load": "N/A", "cpu": {"user": float("inf")}}
    other = {**FIRST, "region": "mars", "at": "2026-01-05 13:00:00+02:00", "sent": "5000"}
    records = (FIRST, SPARSE, nulls, {**SPARSE, "cpu": None}, other, words)
    decoded = decoder.decode([write(record) for record in records])
    assert not decoded.invalid
    assert decoded.matrix[0].tolist() == [1, 1, 1, 1767610800, 5, 2.5]
    for row in (1, 2, 3, 5):
        np.testing.assert_array_equal(decoded.matrix[row], [np.nan, 0, np.nan, np.nan, 0, np.nan])
    assert decoded.matrix[4].tolist() == [1, 1, -1, 1767610800, 5, 2.5]


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        ({"ok": 1}, Reason.WRONG_TYPE, "ok is a number, not true or false"),
        ({"ok": None}, Reason.WRONG_TYPE, "ok is null, not true or false"),
        ({"region": 4}, Reason.WRONG_TYPE, "region is a number, not text"),
        ({"at": "yesterday"}, Reason.WRONG_TYPE, "at is text, not a timestamp"),
        ({"at": 17}, Reason.WRONG_TYPE, "at is a number, not text"),
        ({"sent": "2026-01-05"}, Reason.NOT_NUMERIC, "sent is text, not a number"),
        ({"load": "seven"}, Reason.NOT_NUMERIC, "load is text, not a number"),
        ({"sent": float("inf")}, Reason.NOT_FINITE, "sent is Infinity"),
        ({"sent": "-"}, Reason.MISSING_FEATURE, "sent is '-', which stands for a missing value"),
        ({"cpu": 7}, Reason.MISSING_FEATURE, "cpu.user is missing"),
    ],
)
def test_a_value_of_another_kind_is_invalid_whatever_the_policy(
    kinds: tuple[Decoder, Write], change: dict[str, Any], reason: Reason, message: str
) -> None:
    decoder, write = kinds
    decoded = decoder.decode([write(record) for record in (FIRST, {**FIRST, **change}, SPARSE)])
    assert decoded.rows.tolist() == [0, 2]
    (problem,) = decoded.invalid
    assert (problem.row, problem.reason, problem.message) == (1, reason, message)
