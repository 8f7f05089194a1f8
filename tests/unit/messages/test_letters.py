"""Dead letters read back: the record as it was, and what is wrong with messages that are none."""

from __future__ import annotations

import random

import pytest

from aestream.messages.dead_letters import dead_letters
from aestream.messages.letters import FOREIGN, Letter, letters
from aestream.types import Batch, Headers, Invalid, Partition, Reason, Span

STAMP = 1_700_000_000_000
EVENT = (("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"them"), ("ce_type", b"theirs"))


def sent(value: bytes | None, headers: Headers = (), *, key: bytes | None = b"k", most: int = 10_000) -> Letter:
    """A record as a worker makes a letter of it, and as it is read back."""
    batch = Batch([Span(Partition("in", 3), 0, 1)], [41], [STAMP], [key], [value], [headers])
    found = dead_letters("dead", batch, [Invalid(0, Reason.BAD_JSON, "why")], max_bytes=most)
    return read(found.values[0], found.headers[0], key=found.keys[0])


def read(value: bytes | None, headers: Headers, *, key: bytes | None = None) -> Letter:
    (letter,) = letters(Batch([Span(Partition("dead", 1), 0, 1)], [5], [9], [key], [value], [headers]))
    return letter


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", b"{}"])
@pytest.mark.parametrize("headers", [(), (("a", b"1"), ("a", b"\xff")), EVENT, EVENT[1:2], (("ce_time", b"x"),)])
def test_a_record_comes_back_as_it_was(value: bytes | None, headers: Headers) -> None:
    letter = sent(value, headers)
    assert (letter.value, letter.key, tuple(letter.headers), letter.stamp) == (value, b"k", tuple(headers), STAMP)
    assert (letter.name, letter.origin, letter.time) == ("dead/1/5", "in/3/41", 9)
    assert (letter.reason, letter.error, letter.refusal) == ("bad_json", "why", None)


def test_a_record_with_neither_key_nor_value_comes_back_with_an_empty_one() -> None:
    assert sent(None, key=None).value == b""  # the client would send no letter without both


def test_a_letter_that_went_through_the_input_as_it_is_leaves_nothing_of_the_first_one() -> None:
    first = sent(b"x", (("own", b"1"),))
    again = sent(b"x", [*first.headers, ("aestream.dlq.topic", b"old"), ("ce_type", b"io.aestream.dead-letter.v1")])
    assert again.headers == (("own", b"1"),)
    assert again.origin == "in/3/41"


def test_one_that_was_cut_names_the_place_of_its_record() -> None:
    letter = sent(b"x" * 5000, most=2000)
    assert letter.cut == 5000
    assert letter.refusal is not None
    assert "in/3/41" in letter.refusal


@pytest.mark.parametrize("missing", ["topic", "partition", "offset"])
@pytest.mark.parametrize("content", [None, b"", b"-1", b"\xd9\xa1", b"1e9", b"9" * 30])
def test_a_message_that_does_not_say_where_its_record_was_is_foreign(missing: str, content: bytes | None) -> None:
    told = {"topic": b"in", "partition": b"0", "offset": b"1"} | {missing: content}
    headers = [(f"aestream.dlq.{name}", text) for name, text in told.items() if text is not None]
    letter = read(b"x", headers)
    if missing == "topic" and content:
        assert letter.refusal is None
    else:
        assert (letter.reason, letter.origin) == (FOREIGN, "")
        assert letter.refusal is not None


def test_headers_of_any_kind_are_read() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        names = ("topic", "partition", "offset", "timestamp", "error", "error_type", "truncated", "x", "")
        headers = [(f"aestream.dlq.{rng.choice(names)}", rng.randbytes(rng.randint(0, 5))) for _ in range(8)]
        letter = read(None, headers)
        assert letter.headers == ()
        assert letter.reason
