"""The bad input that everybody thinks of, one case each: what becomes of it, and why."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import pytest

from tests.fuzz.checks import judged, told
from tests.fuzz.inputs import Pairs, Raw, written
from tests.fuzz.worlds import MAX_RECORD_BYTES, STEPS, World, record, worlds

PLAIN, *_ = worlds()
WINDOWS = next(world for world in worlds() if world.layout.plain and world.windows)
GOOD = record(STEPS, "web-1", random.Random(1))
MEGABYTE = 2**20
DEEP = "score, bad_json, wrong_shape or not_numeric"  # how deep is too deep differs between versions of Python


def but(**fields: Any) -> bytes:
    """A good message with other fields."""
    return written(GOOD | fields)


def raw(text: bytes) -> bytes:
    """A good message with this piece of JSON as its number."""
    return but(queue=Raw(text))


CASES: dict[str, tuple[bytes | None, str | None, str]] = {
    "no value": (None, "empty", "the value is empty"),
    "an empty value": (b"", "empty", "the value is empty"),
    "blanks": (b" \n\t", "bad_json", "not JSON"),
    "null": (b"null", "wrong_shape", "null"),
    "a number": (b"17", "wrong_shape", "a number"),
    "an array": (b"[1, 2]", "wrong_shape", "an array of 2 records"),
    "text": (b'"text"', "wrong_shape", "text"),
    "JSON in text": (json.dumps(json.dumps(GOOD)).encode(), "wrong_shape", "encodes it twice"),
    "two documents": (but() + but(), "bad_json", "Extra data"),
    "cut off": (but()[:-7], "bad_json", "not JSON"),
    "random bytes": (random.Random(0).randbytes(500), "bad_json", "binary data"),
    "NUL bytes": (b"\x00" * 500, "bad_json", "binary data"),
    "invalid UTF-8 for JSON": (b"\xff\xfe\xfd", "bad_json", "binary data"),
    "UTF-16": (but().decode().encode("utf-16"), "bad_json", "binary data"),
    "NaN": (raw(b"NaN"), "not_finite", "queue is NaN"),
    "Infinity": (raw(b"Infinity"), "not_finite", "queue is Infinity"),
    "-Infinity": (raw(b"-Infinity"), "not_finite", "queue is -Infinity"),
    "1e999": (raw(b"1e999"), "not_finite", "queue is Infinity"),
    "-1e999": (raw(b"-1e999"), "not_finite", "queue is -Infinity"),
    "1e308": (raw(b"1e308"), None, ""),
    "1e-999": (raw(b"1e-999"), None, ""),
    "an integer of 20 digits": (raw(b"9" * 20), None, ""),
    "an integer of 400 digits": (raw(b"9" * 400), "not_finite", "queue is"),
    "an integer of 100,000 digits": (raw(b"9" * 100_000), "not_finite", "queue is Infinity"),
    "an integer of a million digits": (raw(b"9" * (MEGABYTE - 1000)), "not_finite", "queue is Infinity"),
    "a fraction of 100,000 digits": (raw(b"1." + b"3" * 100_000), None, ""),
    "100,000 digits in text": (but(queue="9" * 100_000), "not_finite", "queue is '99999999999999999999'"),
    "100,000 digits and a unit": (but(latency="9" * 100_000 + " ms"), "not_finite", "latency is '9999"),
    "100,000 digits and no unit": (but(latency="9" * 100_000 + " x"), "not_numeric", "latency is text"),
    "a unit of another kind": (but(latency="5 GiB"), "not_numeric", "a unit of bytes (GiB), not of seconds"),
    "a megabyte of blanks": (but(queue=" " * (MEGABYTE - 1000)), "missing_feature", "stands for a missing value"),
    "null for a number": (but(queue=None), "not_numeric", "queue is null"),
    "a boolean for a number": (but(queue=True), "not_numeric", "queue is a boolean"),
    "text for a number": (but(queue="twelve"), "not_numeric", "queue is text"),
    "a number for a boolean": (but(cpu={"user": 1.0, "busy": 1}), "wrong_type", "cpu.busy is a number"),
    "a number for a category": (but(mode=5), "wrong_type", "mode is a number"),
    "no time": (but(at="yesterday"), "wrong_type", "at is text"),
    "an array for an object": (but(cpu=[1]), "missing_feature", "cpu.user is missing"),
    "an object for a number": (but(queue={"value": 1}), "not_numeric", "queue is an object"),
    "no such field": (written({n: v for n, v in GOOD.items() if n != "queue"}), "missing_feature", "queue is missing"),
    "no field at all": (b"{}", "missing_feature", "missing"),
    "nothing where it may be missing": (but(rain=None), None, ""),
    "NaN where it may be missing": (but(rain=Raw(b"NaN")), None, ""),
    "a name twice": (written(Pairs((*GOOD.items(), ("queue", "twelve")))), "not_numeric", "queue is text"),
    "a name twice, the last one good": (written(Pairs((("queue", "twelve"), *GOOD.items()))), None, ""),
    "a lone surrogate in a category": (but(mode=Raw(b'"\\ud800"')), "bad_json", "half of a surrogate pair"),
    "a lone surrogate elsewhere": (but(note=Raw(b'"\\ud800"')), "bad_json", "half of a surrogate pair"),
    "a NUL in a category": (but(mode="re\x00ad"), None, ""),
    "an emoji in a name": (but(**{"\U0001f600": 1}), None, ""),
    "a byte order mark and nothing else": (b"\xef\xbb\xbf", "bad_json", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + but(), None, ""),
    "a schema registry's five bytes": (b"\x00\x00\x00\x00\x07" + but(), None, ""),
    "nesting 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, DEEP, ""),
    "nesting 10,000 deep in a feature": (raw(b"[" * 10_000 + b"]" * 10_000), DEEP, ""),
    "objects 10,000 deep elsewhere": (but(x=Raw(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)), DEEP, ""),
    "nesting 100,000 deep": (but(x=Raw(b"[" * 100_000 + b"]" * 100_000)), "bad_json", "nested too deeply"),
    "100,000 fields": (but(**{f"f{i}": i for i in range(70_000)}), None, ""),
    "a text of a megabyte": (but(note="x" * (MEGABYTE - 1000)), None, ""),
    "a category of a megabyte": (but(mode="x" * (MEGABYTE - 1000)), None, ""),
    "a name of a megabyte": (but(**{"x" * (MEGABYTE - 1000): 1}), None, ""),
    "a megabyte of numbers": (but(queue=[1] * 400_000), "not_numeric", "queue is an array"),
    "ten megabytes": (but(note="x" * 10 * MEGABYTE), "too_large", f"more than the limit of {MAX_RECORD_BYTES}"),
    "ten megabytes of nothing": (b" " * 10 * MEGABYTE, "too_large", "10485760 bytes"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_ends_as_expected(name: str) -> None:
    value, reason, words = CASES[name]
    good = [PLAIN.message(STEPS + i, "quiet", random.Random(i)) for i in range(4)]
    whole = judged(PLAIN, [good[0], good[1], value, good[2], value, good[3]], [0, 1, 3, 5], cuts=[2, 3])
    if reason is None:
        assert whole.letters == {}
    elif reason is DEEP:
        assert all(letter[0] in reason for letter in whole.letters.values())
    else:
        assert whole.letters.keys() == {2, 4}
        assert whole.letters[2][0] == reason, whole.letters[2]
        assert words in whole.letters[2][1], whole.letters[2]


def test_all_in_one_batch_with_windows() -> None:
    values: list[bytes | None] = []
    for i, (value, _, _) in enumerate(CASES.values()):
        values += [WINDOWS.message(STEPS + i, "quiet", random.Random(i)), value]
    whole = judged(WINDOWS, values, range(0, len(values), 2), cuts=range(3, len(values), 7))
    wanted = {2 * i + 1: reason for i, (_, reason, _) in enumerate(CASES.values()) if reason is not None}
    wanted.pop(2 * list(CASES).index("no time") + 1)  # without it, a record is ordered by its message
    found = {row: letter[0] for row, letter in whole.letters.items() if wanted.get(row) is not DEEP}
    assert found == {row: reason for row, reason in wanted.items() if reason is not DEEP}


@pytest.mark.parametrize("digits", [0, 640, 4300])
def test_pythons_limit_of_digits_changes_nothing(digits: int) -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(digits)
    try:
        whole = told(PLAIN.pipeline(), [raw(b"9" * 1000), raw(b"9" * 50_000), but(host=Raw(b"7" * 9000)), but()])
    finally:
        sys.set_int_max_str_digits(before)
    assert {row: reason for row, (reason, _) in whole.letters.items()} == {0: "not_finite", 1: "not_finite"}


@pytest.mark.parametrize("world", worlds(), ids=lambda world: world.name)
def test_keys_and_headers_of_any_size_do_no_harm(world: World) -> None:
    rng = random.Random(1)
    values = [world.message(STEPS + i, "quiet", rng) for i in range(12)]
    keys = [b"k", b"\xff" * MEGABYTE, b"", None, b"\x00", "\u2028".encode() * 1000, *[b"k"] * 6]
    headers = [()] * 6 + [
        (("h", b"x" * 2 * MEGABYTE),),
        (("", b""),),
        (("n" * MEGABYTE, b"\xff"),),
        (("h", None),),
        (),
        (),
    ]
    values[10] = b"{"
    values[9] = b"{"
    values[8] = b"{"
    whole = told(world.pipeline(), values, keys=keys, headers=headers)
    assert {row: reason for row, (reason, _) in whole.letters.items()} == {
        1: "too_large", 8: "bad_json", 9: "bad_json", 10: "bad_json",
    }  # fmt: skip
