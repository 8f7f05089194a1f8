"""The envelope of a dead letter, and the limits that stop the worker."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aestream.errors import InvalidRecordsError
from aestream.messages.dead_letters import InvalidLimits, dead_letters
from aestream.transport.size import too_large
from aestream.types import Batch, Headers, Invalid, Outgoing, Partition, Reason, Span


def batch(
    values: Sequence[bytes | None], *, keys: Sequence[bytes | None] = (), headers: Sequence[Headers] = ()
) -> Batch:
    """Two records of partition 0 first, the others of partition 1."""
    count = len(values)
    spans = [Span(Partition("in", 0), 0, min(2, count)), Span(Partition("in", 1), 2, count)]
    return Batch(
        spans[: 1 if count <= 2 else 2],
        range(100, 100 + count),
        [1_700_000_000_000] * count,
        keys or [b"key"] * count,
        values,
        headers or [()] * count,
    )


def wrap(records: Batch, *rows: int, max_bytes: int = 10_000) -> Outgoing:
    problems = [Invalid(row, Reason.BAD_JSON, f"row {row}") for row in rows]
    return dead_letters("dead", records, problems, max_bytes=max_bytes)


def test_the_original_is_kept_and_the_reason_added() -> None:
    letters = wrap(batch([b"a", b"b", b"c", None], headers=[(), (), (("x", b"1"), ("y", b"")), ()]), 1, 2, 3)
    assert letters.topic == "dead"
    assert list(letters.values) == [b"b", b"c", None]
    assert list(letters.keys) == [b"key"] * 3
    assert list(letters.sources) == [Partition("in", 0), Partition("in", 1), Partition("in", 1)]
    assert tuple(letters.headers[1])[:2] == (("x", b"1"), ("y", b""))
    found = dict(letters.headers[1])
    assert {name.removeprefix("aestream.dlq."): value for name, value in found.items() if "dlq" in name} == {
        "stage": b"decode",
        "error_type": b"bad_json",
        "error": b"row 2",
        "topic": b"in",
        "partition": b"1",
        "offset": b"102",
        "timestamp": b"1700000000000",
    }
    assert found["ce_id"] == b"in/1/102"


def test_a_dead_letter_that_comes_again_gets_the_new_reason() -> None:
    old = (("aestream.dlq.error", b"old"), ("aestream.dlq.truncated", b"9"), ("ce_id", b"their own"))
    (headers,) = wrap(batch([b"a"], headers=[old]), 0).headers
    assert dict(headers)["aestream.dlq.error"] == b"row 0"
    assert "aestream.dlq.truncated" not in dict(headers)
    assert dict(headers)["ce_id"] == b"their own"
    assert len({name for name, _ in headers}) == len(headers)


@pytest.mark.parametrize(
    ("value", "key", "header"),
    [(20_000, 3, 0), (20_000, 4000, 0), (9_900, 3, 0), (5, 20_000, 0), (5, 3, 20_000), (20_000, 20_000, 20_000)],
)
def test_what_does_not_fit_is_cut_and_says_so(value: int, key: int, header: int) -> None:
    records = batch([b"v" * value], keys=[b"k" * key], headers=[(("big", b"h" * header),)])
    letters = wrap(records, 0, max_bytes=10_000)
    size = len(letters.values[0] or b"") + len(letters.keys[0] or b"")
    size += sum(len(name) + len(content) for name, content in letters.headers[0])
    assert size < 10_000
    assert dict(letters.headers[0])["aestream.dlq.truncated"] == str(value).encode()
    assert (b"v" * value).startswith(letters.values[0] or b"")
    assert letters.keys[0] == (None if key + header > 4800 else b"k" * key)
    assert dict(letters.headers[0])["aestream.dlq.error_type"] == b"bad_json"


@pytest.mark.parametrize("most", [1024, 1500, 2000, 4000])
def test_a_topic_that_takes_little_gets_less_of_the_message_of_the_error_too(most: int) -> None:
    records = batch([b"v" * 20_000], keys=[b"k" * 100])
    problems = [Invalid(0, Reason.BAD_JSON, "why " * 1000)]
    letters = dead_letters("dead", records, problems, max_bytes=most)
    assert not too_large(letters, most)
    headers = dict(letters.headers[0])
    assert headers["aestream.dlq.truncated"] == b"20000"
    assert headers["aestream.dlq.error"].startswith(b"why why")
    assert headers["aestream.dlq.offset"] == b"100"
    assert len(letters.values[0] or b"") < most


def invalid(*rows: int) -> list[Invalid]:
    return [Invalid(row, Reason.EMPTY, "empty") for row in rows]


def test_a_run_is_counted_across_batches_and_broken_by_a_good_record() -> None:
    limits = InvalidLimits(max_ratio=1, max_consecutive=5)
    limits.check(4, invalid(1, 2, 3))
    limits.check(4, invalid(0, 2, 3))  # 4 in a row, then a good one
    limits.check(2, invalid(0, 1))  # 4 again
    limits.check(0, [])
    limits.check(1, [])
    limits.check(4, invalid(0, 1, 2, 3))
    with pytest.raises(InvalidRecordsError, match=r"5 records in a row.*`max_consecutive`"):
        limits.check(1, invalid(0))


def test_the_ratio_is_judged_from_a_thousand_records_on() -> None:
    limits = InvalidLimits(max_ratio=0.5, max_consecutive=10_000)
    limits.check(999, invalid(*range(900)))
    with pytest.raises(InvalidRecordsError, match=r"900 of the last 1000 records.*`max_ratio`"):
        limits.check(1, [])


def test_the_most_frequent_reason_names_the_remedy_not_the_last_one() -> None:
    limits = InvalidLimits(max_ratio=1, max_consecutive=5)
    limits.check(2, [Invalid(0, Reason.EMPTY, "the value is empty")] * 1)  # not of the run
    limits.check(3, [Invalid(row, Reason.MISSING_FEATURE, "cpu.user is missing") for row in range(3)])
    with pytest.raises(InvalidRecordsError) as caught:
        limits.check(
            2, [Invalid(0, Reason.MISSING_FEATURE, "queue is missing"), Invalid(1, Reason.BAD_JSON, "not JSON: x")]
        )
    message = str(caught.value)
    assert message.startswith(
        "5 records in a row cannot be scored, 4 of them for the reason missing_feature (cpu.user is"
    )
    assert "renamed" in message
    assert "`aestream train`" in message
    assert "`missing=impute`" in message
    assert "\n" not in message


def test_the_ratio_is_explained_by_the_whole_window() -> None:
    limits = InvalidLimits(max_ratio=0.5, max_consecutive=100_000)
    limits.check(1000, [Invalid(row, Reason.TOO_LARGE, f"{row} bytes") for row in range(0, 1000, 2)])
    with pytest.raises(InvalidRecordsError, match=r"all for the reason too_large .*`max_record_bytes`"):
        limits.check(10, [Invalid(row, Reason.TOO_LARGE, "9 bytes") for row in range(10)])


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_remedy_in_one_line(reason: Reason) -> None:
    limits = InvalidLimits(max_ratio=1, max_consecutive=2)
    with pytest.raises(
        InvalidRecordsError, match=rf"all for the reason {reason} \(why\): \w.{{20,}}; or fix"
    ) as caught:
        limits.check(2, [Invalid(row, reason, "why") for row in range(2)])
    assert len(str(caught.value).splitlines()) == 1


def test_the_ratio_forgets_what_is_long_ago() -> None:
    limits = InvalidLimits(max_ratio=0.5, max_consecutive=100_000)
    limits.check(5000, invalid(*range(2500)))
    for _ in range(3):
        limits.check(5000, [])
    limits.check(5000, invalid(*range(5000)))  # 5000 of the last 10,000: not above the limit
    with pytest.raises(InvalidRecordsError):
        limits.check(1000, invalid(*range(1000)))
