"""The sample: gathered, cut into batches, and copied in the order of time."""

from __future__ import annotations

import itertools
import time

import pytest

from aestream.bench.sample import Sample, gather
from aestream.errors import DataError
from aestream.types import Batch, Partition, Span

A, B = Partition("t", 0), Partition("t", 3)
NOW = int(time.time() * 1000)


def batch(*rows: tuple[Partition, int, int]) -> Batch:
    """Records by partition, offset and seconds before now."""
    found = [(part, len(list(group))) for part, group in itertools.groupby(row[0] for row in rows)]
    spans, start = [], 0
    for part, count in found:
        spans.append(Span(part, start, start + count))
        start += count
    offsets, stamps = [row[1] for row in rows], [NOW - 1000 * row[2] for row in rows]
    values = [b"%d/%d" % (row[0].partition, row[1]) for row in rows]
    return Batch(spans, offsets, stamps, [b"k"] * len(rows), values, [()] * len(rows))


def sample() -> Sample:
    whole = [batch((A, 4, 30), (A, 5, 20), (B, 8, 25)), batch((B, 9, 10)), batch((A, 2, 50))]
    return gather(whole, max_bytes=10**6, seconds=60.0)


def test_each_partition_is_in_its_order_whatever_came_first() -> None:
    found = sample()
    assert found.batch.spans == [Span(A, 0, 3), Span(B, 3, 5)]
    assert found.batch.offsets == [2, 4, 5, 8, 9]
    assert found.batch.values == [b"0/2", b"0/4", b"0/5", b"3/8", b"3/9"]
    assert found.busiest == (A, 0.6)
    assert found.bytes == 15


def test_batches_know_where_their_records_came_from() -> None:
    cut = list(sample().chunks(2))
    assert [list(one.offsets) for one in cut] == [[2, 4], [5, 8], [9]]
    assert [list(one.spans) for one in cut] == [[Span(A, 0, 2)], [Span(A, 0, 1), Span(B, 1, 2)], [Span(B, 0, 1)]]


def test_gathering_is_bounded_in_bytes_and_in_time() -> None:
    endless = (batch((A, number, 0)) for number in itertools.count(10))
    assert len(gather(endless, max_bytes=40, seconds=60.0)) == 10
    assert len(gather(endless, max_bytes=10**9, seconds=2.5, clock=map(float, itertools.count()))) == 3
    with pytest.raises(DataError, match="no records"):
        gather([Batch()], max_bytes=1, seconds=1.0)


def test_copies_are_in_the_order_of_time_and_stay_together_by_partition() -> None:
    sent = list(sample().copies("copy", 2, 5, size=3))
    assert [message.values for message in sent] == [[b"0/2", b"0/4", b"3/8"], [b"0/5", b"3/9"]]
    assert [one.partition for message in sent for one in message.sources] == [0, 0, 1, 0, 1]
    assert list(sent[1].timestamps) == [NOW - 20_000, NOW - 10_000]


def test_a_short_sample_is_sent_again_and_time_never_turns_back() -> None:
    sent = list(sample().copies("copy", 1, 12, size=100))
    stamps = [stamp or 0 for message in sent for stamp in message.timestamps]
    assert len(stamps) == 12
    assert [len(message) for message in sent] == [5, 5, 2]
    for source in (b"0/", b"3/"):
        values = [value for message in sent for value in message.values]
        own = [stamp for stamp, value in zip(stamps, values, strict=True) if value and value.startswith(source)]
        assert own == sorted(own)


def test_no_copy_lies_in_the_future_or_before_1970() -> None:
    odd = batch((A, 1, -86_400 * 400), (A, 2, NOW // 1000), (A, 3, 1))
    (sent,) = gather([odd], max_bytes=10**6, seconds=60.0).copies("copy", 1, 3, size=9)
    assert all(0 <= (stamp or 0) <= time.time() * 1000 for stamp in sent.timestamps)
    assert list(sent.values) == [b"0/1", b"0/2", b"0/3"]
