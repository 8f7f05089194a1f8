"""What the history of every transport reads: the newest records of all partitions together."""

from __future__ import annotations

import time

import pytest

from aestream.types import Batch, Partition
from tests.contract.transports import (
    SECONDS,
    Memory,
    Transport,
    by_partition,
    collect,
    deliver,
    outgoing,
)


def test_history_gives_the_newest_records_of_all_partitions(transport: Transport) -> None:
    topic = transport.topic(3)
    now = int(time.time() * 1000)
    for i in range(100):
        transport.put(topic, 0, b"idle", now - 5 * 86_400_000 + i)  # after a week the broker may delete it
        transport.put(topic, 1, b"busy", now - 100_000 + i * 1000)
        transport.put(topic, 2, b"slow", now - 500_000 + i * 5000)
    found = by_partition(list(transport.history(topic).read(records=120, period=None)))
    assert [offset for offset, _ in found[Partition(topic, 1)]] == list(range(100))
    assert [offset for offset, _ in found[Partition(topic, 2)]] == list(range(80, 100))
    assert Partition(topic, 0) not in found
    found = by_partition(list(transport.history(topic).read(records=210, period=None)))
    assert [offset for offset, _ in found[Partition(topic, 0)]] == list(range(90, 100))


def test_history_takes_equal_shares_of_records_of_one_moment(transport: Transport) -> None:
    topic = transport.topic(2)
    now = int(time.time() * 1000)
    for i in range(40):
        transport.put(topic, min(i // 30, 1), b"x", now)
    found = by_partition(list(transport.history(topic).read(records=20, period=None)))
    assert {partition.partition: [offset for offset, _ in rows] for partition, rows in found.items()} == {
        0: list(range(15, 30)),
        1: list(range(5, 10)),
    }


@pytest.fixture
def _not_embedded(request: pytest.FixtureRequest) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker soon deletes records of 1970")


@pytest.mark.usefixtures("_not_embedded")
def test_history_reads_timestamps_in_seconds(transport: Transport) -> None:
    topic = transport.topic(2)
    now = int(time.time())
    for i in range(50):
        transport.put(topic, 0, b"seconds", now - 100 + 2 * i)
        transport.put(topic, 1, b"milliseconds", (now - 100 + 2 * i) * 1000)
    found = by_partition(list(transport.history(topic).read(records=40, period=None)))
    expected = list(range(30, 50))
    assert [[offset for offset, _ in found[Partition(topic, p)]] for p in range(2)] == [expected, expected]
    batches = list(transport.history(topic).read(records=100, period=50.0))
    assert sum(map(len, batches)) == pytest.approx(50, abs=6)


@pytest.mark.usefixtures("_not_embedded")
def test_history_goes_by_offset_where_timestamps_tell_no_time(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    topic = transport.topic(2)
    now = int(time.time() * 1000)
    for i in range(50):
        transport.put(topic, 0, b"zero", 0 if i < 49 else now)  # without one of today the broker may delete them all
        transport.put(topic, 1, b"time", now - 50_000 + 1000 * i)
    for period in (None, 3600.0):
        found = by_partition(list(transport.history(topic).read(records=40, period=period)))
        expected = list(range(30, 50))
        assert [[offset for offset, _ in found[Partition(topic, p)]] for p in range(2)] == [expected, expected]
    if not isinstance(transport, Memory):
        assert f"the timestamps in {topic}/0 are not times" in caplog.text
        assert f"{topic}/1" not in caplog.text


def test_history_reads_all_when_there_is_less_than_wanted(transport: Transport) -> None:
    topic = transport.topic(2)
    deliver(transport.sink(), outgoing(topic, [b"%d" % i for i in range(30)], partition=1))
    found = by_partition(list(transport.history(topic).read(records=1000, period=None)))
    assert found == {Partition(topic, 1): [(i, b"%d" % i) for i in range(30)]}


def test_history_leaves_out_what_is_older_than_the_period(transport: Transport) -> None:
    topic = transport.topic(2)
    now = int(time.time() * 1000)
    for age in (7200, 5400, 1800, 600):
        transport.put(topic, 0, b"%d" % age, now - age * 1000)
    transport.put(topic, 1, b"old", now - 9_000_000)
    batches = list(transport.history(topic).read(records=1000, period=3600.0))
    assert [value for batch in batches for value in batch.values] == [b"1800", b"600"]


def test_history_of_an_empty_topic_is_empty_and_commits_nothing(transport: Transport) -> None:
    topic = transport.topic(2)
    assert list(transport.history(topic).read(records=10, period=None)) == []
    deliver(transport.sink(), outgoing(topic, [b"x"]))
    assert [len(batch) for batch in transport.history(topic).read(records=10, period=None)] == [1]
    (batch,) = collect(transport.source(topic), 1)
    assert batch.offsets[0] == 0


def test_history_ends_where_the_topic_ended_when_it_began(transport: Transport) -> None:
    topic = transport.topic()
    sink = transport.sink()
    deliver(sink, outgoing(topic, [b"%d" % i for i in range(250)]))
    seen = 0
    for batch in transport.history(topic).read(records=1000, period=None):
        seen += len(batch)
        deliver(sink, outgoing(topic, [b"later"]))
    assert seen == 250


def test_history_knows_the_bounds_of_partitions(transport: Transport) -> None:
    topic = transport.topic(2)
    one, two = Partition(topic, 0), Partition(topic, 1)
    history = transport.history(topic)
    assert history.bounds([one, two]) == {one: (0, 0), two: (0, 0)}
    deliver(transport.sink(), outgoing(topic, [b"x"] * 7, partition=1))
    assert history.bounds([one, two]) == {one: (0, 0), two: (0, 7)}
    assert history.bounds([]) == {}


def test_history_reads_between_offsets_of_any_topic(transport: Transport) -> None:
    topic, other = transport.topic(3), transport.topic()
    parts = [Partition(topic, 0), Partition(topic, 1), Partition(topic, 2), Partition(other, 0)]
    for part in parts:
        values: list[bytes | None] = [b"%d" % i for i in range(300)]
        deliver(transport.sink(), outgoing(part.topic, values, partition=part.partition))
    starts, ends = dict(zip(parts, (0, 299, 50, 120), strict=True)), dict(zip(parts, (300, 300, 50, 260), strict=True))
    found = by_partition(list(transport.history(topic).between(starts, ends)))
    assert {part: [offset for offset, _ in rows] for part, rows in found.items()} == {
        parts[0]: list(range(300)),
        parts[1]: [299],
        parts[3]: list(range(120, 260)),
    }
    assert all(value == b"%d" % offset for rows in found.values() for offset, value in rows)
    assert list(transport.history(topic).between({}, {})) == []


def test_following_goes_on_with_what_arrives(transport: Transport) -> None:
    topic = transport.topic(2)
    sink = transport.sink()
    now = int(time.time() * 1000)
    for i in range(20):
        transport.put(topic, i % 2, b"%d" % (i // 2), now - 20 + i // 2)
    following = transport.history(topic).follow(last=6)
    found: list[Batch] = []
    deadline = time.monotonic() + SECONDS
    while sum(map(len, found)) < 8:
        assert time.monotonic() < deadline
        if sum(map(len, found)) == 6:
            assert not len(next(following))  # nothing has arrived, and that is told
            deliver(sink, outgoing(topic, [b"new", b"newer"], partition=1))
        found.append(next(following))
    following.close()  # type: ignore[attr-defined]
    assert by_partition([batch for batch in found if len(batch)]) == {
        Partition(topic, 0): [(i, b"%d" % i) for i in range(7, 10)],
        Partition(topic, 1): [*((i, b"%d" % i) for i in range(7, 10)), (10, b"new"), (11, b"newer")],
    }
