"""What the source, the sink and the topics of every transport do."""

from __future__ import annotations

import time
import uuid

import pytest

from aestream.errors import DeliveryError, TooLargeError, TransportError
from aestream.transport.delivery import AtLeastOnce
from aestream.types import Changes, Headers, Membership, Outgoing, Partition, Standing, Start
from tests.contract.transports import (
    MAX_BYTES,
    SECONDS,
    Transport,
    by_partition,
    collect,
    deliver,
    outgoing,
    settled,
)
from tests.kafka.cluster import wait_for


def test_records_come_in_order_per_partition_and_batch_by_batch(transport: Transport) -> None:
    topic = transport.topic(3)
    sink = transport.sink()
    deliver(sink, *(outgoing(topic, [b"%d" % i for i in range(100)], partition=p) for p in range(3)))
    batches = collect(transport.source(topic, max_records=70), 300)
    assert max(map(len, batches)) <= 70
    expected = [(i, b"%d" % i) for i in range(100)]
    assert by_partition(batches) == {Partition(topic, p): expected for p in range(3)}
    for batch in batches:
        assert len(batch) == len(batch.keys) == len(batch.headers) == len(batch.timestamps) == len(batch.offsets)
        assert sorted(row for _, start, stop in batch.spans for row in range(start, stop)) == list(range(len(batch)))


def test_keys_headers_and_empty_values_survive(transport: Transport) -> None:
    topic = transport.topic()
    headers: list[Headers] = [(("a", b"1"), ("a", b"\xff")), (), (("b", b""),)]
    keys = [b"\x00\xff", None, b""]
    deliver(transport.sink(), Outgoing(topic, [b"", b"x", None], keys, [Partition(topic, 0)] * 3, headers))
    (batch,) = collect(transport.source(topic), 3)
    assert list(batch.values) == [b"", b"x", None]
    assert list(batch.keys) == keys
    assert [tuple(map(tuple, h or ())) for h in batch.headers] == headers


def test_timestamps_survive_even_odd_ones(transport: Transport) -> None:
    topic = transport.topic()
    stamps = [0, 1, int(time.time() * 1000)]  # the last one of today: what is older than a week the broker may delete
    for stamp in stamps:
        transport.put(topic, 0, b"x", stamp)
    assert [stamp for batch in collect(transport.source(topic), 3) for stamp in batch.timestamps] == stamps


def test_what_comes_while_a_member_stands_by_is_read_later(transport: Transport) -> None:
    topic = transport.topic(2)
    source = transport.source(topic, max_records=3)
    settled(source)
    deliver(transport.sink(), *(outgoing(topic, [b"%d" % i for i in range(50)], partition=p) for p in range(2)))
    for _ in range(10):
        assert not len(source.poll(0.2, read=False))
    batches = collect(source, 100)
    assert max(map(len, batches)) <= 3
    expected = [(i, b"%d" % i) for i in range(50)]
    assert by_partition(batches) == {Partition(topic, p): expected for p in range(2)}


def test_nothing_appears_committed_by_reading_alone(transport: Transport) -> None:
    topic = transport.topic()
    deliver(transport.sink(), outgoing(topic, [b"0", b"1"]))
    first = transport.source(topic)
    collect(first, 2)
    first.close()
    (batch,) = collect(transport.source(topic), 2)
    assert list(batch.offsets) == [0, 1]


def test_a_successor_goes_on_from_the_committed_offset(transport: Transport) -> None:
    topic = transport.topic(2)
    deliver(transport.sink(), *(outgoing(topic, [b"%d" % i for i in range(10)], partition=p) for p in range(2)))
    first = transport.source(topic)
    collect(first, 20)
    assert first.commit({Partition(topic, 0): 4, Partition(topic, 1): 10})
    first.close()
    assert by_partition(collect(transport.source(topic), 6)) == {
        Partition(topic, 0): [(i, b"%d" % i) for i in range(4, 10)]
    }


def test_delivery_commits_behind_what_was_published(transport: Transport) -> None:
    topic, results = transport.topic(), transport.topic()
    sink = transport.sink()
    deliver(sink, outgoing(topic, [b"a", b"b"]))
    source = transport.source(topic)
    delivery = AtLeastOnce(source, sink)
    (batch,) = collect(source, 2)
    delivery.publish([outgoing(results, [b"A", b"B"])], patience=lambda: True)
    assert delivery.commit(batch, patience=lambda: True)
    assert not delivery.uncommitted
    source.close()
    deliver(sink, outgoing(topic, [b"c"]))
    (later,) = collect(transport.source(topic), 1)
    assert (later.offsets[0], later.values[0]) == (2, b"c")
    (published,) = collect(transport.source(results), 2)
    assert list(published.values) == [b"A", b"B"]


def test_results_keep_the_number_where_topics_are_alike(transport: Transport) -> None:
    topic, alike, other = transport.topic(3), transport.topic(3), transport.topic(2)
    sink = transport.sink()
    deliver(sink, *(outgoing(topic, [b"%d" % p], partition=p) for p in range(3)))
    source = transport.source(topic)
    delivery = AtLeastOnce(source, sink)
    for batch in collect(source, 3):
        results = [Outgoing(name, batch.values, batch.keys, batch.sources) for name in (alike, other)]
        delivery.publish(results, patience=lambda: True)
    kept = by_partition(collect(transport.source(alike), 3))
    assert kept == {Partition(alike, p): [(0, b"%d" % p)] for p in range(3)}
    (by_key,) = by_partition(collect(transport.source(other), 3)).values()  # all have one key
    assert len(by_key) == 3


def test_results_of_an_added_partition_go_to_a_partition_that_is_there(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "apache" not in request.node.name:
        pytest.skip("no partitions are added to the topic of a member")
    topic, results = transport.topic(2), transport.topic(2)
    source = transport.source(topic)
    delivery = AtLeastOnce(source, transport.sink())
    settled(source)
    transport.topics().grow({topic: 3})
    deliver(transport.sink(), outgoing(topic, [b"x"], partition=2))
    (batch,) = collect(source, 1)
    delivery.publish([Outgoing(results, batch.values, batch.keys, batch.sources)], patience=lambda: True)
    (published,) = collect(transport.source(results), 1)
    assert list(published.values) == [b"x"]


def test_a_member_has_its_place_and_its_partitions(transport: Transport) -> None:
    topic = transport.topic(3)
    source = transport.source(topic)
    settled(source)
    assert source.assigned() == {Partition(topic, p) for p in range(3)}
    starts = dict.fromkeys(source.assigned(), Start(0, ours=False))
    assert source.changes() == Changes(starts, assigned=source.assigned())
    assert source.changes() == Changes()
    assert source.committed() == dict.fromkeys(starts, 0)
    assert source.partition_count(topic) == 3
    assert source.commit({}) is True


def test_a_partition_is_told_of_before_its_records_come(transport: Transport) -> None:
    topic = transport.topic(3)
    deliver(transport.sink(), *(outgoing(topic, [b"x"] * 10, partition=p) for p in range(3)))
    source = transport.source(topic, max_records=7)
    told: set[Partition] = set()
    seen = 0
    deadline = time.monotonic() + SECONDS
    while seen < 30:
        assert time.monotonic() < deadline
        batch = source.poll(0.5)
        told |= source.changes().assigned
        assert batch.positions.keys() <= told
        seen += len(batch)
    assert told == source.assigned()


def test_a_successor_knows_whether_the_commit_that_it_starts_at_is_ours(transport: Transport) -> None:
    topic = transport.topic(2)
    one, two = Partition(topic, 0), Partition(topic, 1)
    deliver(transport.sink(), *(outgoing(topic, [b"x"] * 10, partition=p) for p in range(2)))
    first = transport.source(topic)
    collect(first, 20)
    assert first.commit({one: 7, two: 8})
    assert first.committed() == {one: 7, two: 8}
    first.close()
    transport.move(topic, {two: 3})
    second = transport.source(topic)
    collect(second, 10)
    assert second.changes().starts == {one: Start(7, ours=True), two: Start(3, ours=False)}
    assert second.committed() == {one: 7, two: 3}


def test_lag_is_what_is_not_committed(transport: Transport) -> None:
    topic = transport.topic(2)
    source = transport.source(topic, max_records=4)
    settled(source)
    for partition in range(2):
        deliver(transport.sink(), outgoing(topic, [b"x"] * 10, partition=partition))
    batches = collect(source, 20)
    # All of it is read and nothing committed: a worker that died now would have all of it before it.
    assert {place.lag_records for place in source.positions().values()} == {10}
    assert source.commit({Partition(topic, 0): 7})
    positions = source.positions()
    assert [positions[Partition(topic, p)].lag_records for p in range(2)] == [3, 10]
    # Both lag, so both have an age, whichever was in the last batch.
    assert all(place.lag_seconds > 0 for place in positions.values())
    for batch in batches:
        assert source.commit(batch.positions)
    assert {(place.lag_records, place.lag_seconds) for place in source.positions().values()} == {(0, 0.0)}


def test_a_member_says_where_it_stands(transport: Transport) -> None:
    source = transport.source(transport.topic())
    settled(source)
    assert source.membership() is Membership.MEMBER
    assert source.answers()


def test_a_message_that_is_too_large_is_refused(transport: Transport) -> None:
    topic = transport.topic()
    sink = transport.sink()
    assert sink.max_bytes(topic) == MAX_BYTES
    with pytest.raises(DeliveryError, match="large"):
        deliver(sink, outgoing(topic, [b"x" * (MAX_BYTES + 1)]))
    deliver(sink, outgoing(topic, [b"next"]))
    (batch,) = collect(transport.source(topic), 1)
    assert list(batch.values) == [b"next"]


def test_a_topic_that_takes_less_is_learnt_and_the_sink_goes_on(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker takes a message of any size")
    topic = transport.topic(max_bytes=10_000)
    sink = transport.sink()
    values: list[bytes | None] = [b"%d" % i + b"x" * 500 for i in range(100)]
    deliver(sink, outgoing(topic, values))  # each fits, together they do not
    with pytest.raises(TooLargeError, match=topic) as caught:
        deliver(sink, outgoing(topic, [b"y" * (MAX_BYTES - 1000)]))
    assert "None" not in str(caught.value)
    while sink.max_bytes(topic) > 10_000:
        before = sink.max_bytes(topic)
        with pytest.raises(TooLargeError, match=topic):
            deliver(sink, outgoing(topic, [b"y" * (before - 500)]))
        assert sink.max_bytes(topic) < before
    last = b"y" * (sink.max_bytes(topic) - 500)
    deliver(sink, outgoing(topic, [last]))
    assert sink.max_bytes("another") == MAX_BYTES
    found = [value for batch in collect(transport.source(topic), 101) for value in batch.values]
    assert found[-1] == last
    if "confluent" in request.node.name:  # librdkafka does not split a batch: what was refused in one is sent later
        found, values = sorted(found, key=str), sorted(values, key=str)
    assert [value for value in found if value != last] == values


def test_which_topic_refuses_is_told_when_they_come_one_after_the_other(
    transport: Transport, request: pytest.FixtureRequest
) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker takes a message of any size")
    small, large = transport.topic(max_bytes=10_000), transport.topic()
    sink = transport.sink()
    delivery = AtLeastOnce(transport.source(large), sink)
    results = [outgoing(large, [b"x" * 60_000]), outgoing(small, [b"x" * 20_000])]
    with pytest.raises(TooLargeError):
        delivery.publish(results, patience=lambda: True)
    with pytest.raises(TooLargeError, match=small):
        delivery.publish(results, patience=lambda: True, topic_by_topic=True)
    assert sink.max_bytes(small) < 20_000
    assert sink.max_bytes(large) == MAX_BYTES


def test_a_topic_that_is_not_there_is_named(transport: Transport, request: pytest.FixtureRequest) -> None:
    if "embedded" in request.node.name:
        pytest.skip("the embedded broker makes a topic that is asked for")
    with pytest.raises(TransportError, match="no-such-topic"):
        transport.sink().partition_count("no-such-topic")


def test_closing_twice_is_closing_once(transport: Transport) -> None:
    topic = transport.topic()
    source, sink = transport.source(topic), transport.sink()
    for client in (source, sink):
        client.close()
        client.close()


def test_flushing_nothing_is_done_at_once_and_partitions_are_known(transport: Transport) -> None:
    topic = transport.topic(4)
    sink = transport.sink()
    assert sink.flush(0.1)
    assert sink.partition_count(topic) == 4


def test_messages_without_a_partition_keep_their_order_by_key(transport: Transport) -> None:
    topic = transport.topic(4)
    keys = [b"%d" % (i % 7) for i in range(200)]
    values: list[bytes | None] = [b"%d" % i for i in range(200)]
    deliver(transport.sink(), Outgoing(topic, values, keys, [Partition("elsewhere", 0)] * 200))
    seen: dict[bytes | None, list[tuple[int, int]]] = {}
    for batch in collect(transport.source(topic), 200):
        for (_, partition), start, stop in batch.spans:
            for row in range(start, stop):
                seen.setdefault(batch.keys[row], []).append((partition, int(batch.values[row] or b"")))
    for places in seen.values():
        assert len({partition for partition, _ in places}) == 1
        assert [number for _, number in places] == sorted(number for _, number in places)


def test_topics_are_made_described_grown_and_deleted(transport: Transport, request: pytest.FixtureRequest) -> None:
    there, missing = transport.topic(2), f"missing-{uuid.uuid4().hex[:12]}"
    topics = transport.topics()
    found = topics.describe([there, missing])
    assert {name: state.partitions for name, state in found.items()} == {there: 2, missing: 0}
    assert found[there].refusal("READ", "create it") is None
    assert "create it" in str(found[missing].refusal("READ", "create it"))
    assert topics.group_refusal("g") is None
    assert topics.create([there, missing], partitions=1, replication=1) == [missing]
    assert {name: state.partitions for name, state in topics.describe([f"^{missing}"]).items()} == {missing: 1}
    if "embedded" not in request.node.name:  # which does not add partitions
        topics.grow({missing: 3})
        wait_for("three partitions", lambda: topics.describe([missing])[missing].partitions == 3, seconds=SECONDS)
    topics.delete([missing, there])
    wait_for("no topic", lambda: not topics.describe([missing])[missing].partitions, seconds=SECONDS)


def test_a_topic_tells_how_many_copies_it_has(transport: Transport, request: pytest.FixtureRequest) -> None:
    topic = transport.topic()
    assert transport.topics().describe([topic])[topic].replicas == ("memory" not in request.node.name)


def test_a_group_is_deleted_once_it_has_no_members(transport: Transport, request: pytest.FixtureRequest) -> None:
    if "memory" in request.node.name:
        pytest.skip("there is one group, without members")
    topic = transport.topic()
    deliver(transport.sink(), outgoing(topic, [b"x"]))
    source = transport.source(topic)
    collect(source, 1)
    assert source.commit({Partition(topic, 0): 1})
    group, topics = transport.group(topic), transport.topics()
    with pytest.raises(TransportError, match=f"group {group} cannot be deleted: "):
        topics.delete([topic], group_id=group)
    source.close()
    topics.delete([topic], group_id=group)
    topics.delete([topic], group_id=group)


def test_commits_say_what_was_noted_of_their_partition(transport: Transport) -> None:
    topic = transport.topic(3)
    deliver(transport.sink(), *(outgoing(topic, [b"x"] * 10, partition=p) for p in range(3)))
    source = transport.source(topic)
    collect(source, 30)
    parts = [Partition(topic, p) for p in range(3)]
    group, topics = transport.group(topic), transport.topics()
    assert source.commit({parts[0]: 1, parts[1]: 1})
    assert topics.standings(group) == {}
    first, second = Standing(("a", "b"), 7, 2), Standing(("c",), 9, 3)
    source.annotate({parts[0]: first, parts[1]: second})
    assert topics.standings(group) == {}  # only a commit tells it
    assert source.commit({parts[0]: 2, parts[2]: 2})
    assert topics.standings(group) == {parts[0]: first}
    source.annotate({parts[1]: second})
    assert source.commit({parts[0]: 3, parts[1]: 3})
    assert topics.standings(group) == {parts[1]: second}


def test_an_unknown_group_has_noted_nothing(transport: Transport) -> None:
    assert transport.topics().standings(f"nobody-{uuid.uuid4().hex}") == {}


def test_a_compacted_topic_is_told_from_others(transport: Transport, request: pytest.FixtureRequest) -> None:
    topics, plain, own = transport.topics(), transport.topic(), f"compacted-{uuid.uuid4().hex[:12]}"
    configs = {"cleanup.policy": "compact", "segment.bytes": str(2**24)}
    assert topics.create([own], partitions=2, replication=1, configs=configs) == [own]
    found = topics.describe([own, plain])
    assert found[own].partitions == 2
    told = (None, None) if "memory" in request.node.name else (True, False)
    assert (found[own].compacted, found[plain].compacted) == told


def test_a_topic_that_is_created_again_has_another_id(transport: Transport, request: pytest.FixtureRequest) -> None:
    topics, topic = transport.topics(), transport.topic()
    before = topics.describe([topic])[topic].id
    assert topics.describe([topic])[topic].id == before
    topics.delete([topic])
    wait_for("no topic", lambda: not topics.describe([topic])[topic].partitions, seconds=SECONDS)
    assert topics.create([topic], partitions=1, replication=1) == [topic]
    after = topics.describe([topic])[topic].id
    assert (after != before) == ("apache" in request.node.name)  # the others have no ids
