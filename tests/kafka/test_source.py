"""The source at what a topic goes through: partitions that are added, records that are deleted, joins left alone."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState, OffsetAndMetadata

from aestream.demo.brokers import Broker
from aestream.errors import NoAnswerError
from aestream.settings.connection import Kafka
from aestream.transport.base import Source
from aestream.transport.kafka_python.source import KafkaSource
from aestream.transport.librdkafka.source import ConfluentSource
from aestream.types import Changes, Membership, Partition, Start
from tests.brokers.apache import pause, resume
from tests.kafka.cluster import SECONDS, Cluster, wait_for
from tests.kafka.conftest import CLIENT

SOURCES: dict[str, Callable[..., Source]] = {"kafka-python": KafkaSource, "confluent": ConfluentSource}
Open = Callable[..., Source]
Offsets = set[tuple[str, int, int]]


@pytest.fixture
def source(cluster: Cluster) -> Iterator[Open]:
    opened: list[Source] = []

    def make(topic: str, *, group: str, start: str = "latest", wait: float = 0.02, **settings: Any) -> Source:
        made = SOURCES[CLIENT](
            [topic],
            connection={"bootstrap_servers": [cluster.bootstrap]},
            group_id=group,
            **{"max_records": 5000, "max_bytes": 2**24} | settings,
            max_wait=wait,
            auto_offset_reset=start,
        )
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.close()


def settle(*sources: Source, when: Callable[[], bool] = lambda: True) -> Offsets:
    """Poll each on a thread of its own until all have their places and `when` holds; return what was read on the way.

    A member that does not poll lets the end of its join go by, and begins another one.
    """
    deadline = time.monotonic() + SECONDS

    def until_all_have_joined(source: Source) -> Offsets:
        read: Offsets = set()
        while not (all(one.joined() for one in sources) and when()):
            assert time.monotonic() < deadline, "the group did not settle"
            read |= poll(source)
        return read

    with ThreadPoolExecutor(len(sources)) as pool:
        return set().union(*pool.map(until_all_have_joined, sources))


def poll(source: Source, timeout: float = 0.2) -> Offsets:
    """Read once and commit what was read."""
    batch = source.poll(timeout)
    with contextlib.suppress(NoAnswerError):  # a rebalance takes longer than a commit waits
        source.commit(batch.positions)
    return {(*s.partition, offset) for s in batch.spans for offset in batch.offsets[s.start : s.stop]}


def read_until(source: Source, wanted: Offsets, *, seconds: float = SECONDS) -> Offsets:
    read: Offsets = set()
    deadline = time.monotonic() + seconds
    while not wanted <= read:
        assert time.monotonic() < deadline, f"not read: {sorted(wanted - read)[:5]}"
        read |= poll(source)
    return read


def commit_elsewhere(cluster: Cluster, group: str, partition: Partition, offset: int) -> None:
    """Commit an offset for a group without members, as another program."""
    other = KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id=group, enable_auto_commit=False)
    other.assign([TopicPartition(*partition)])
    other.commit({TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)})
    other.close()


def test_added_partitions_are_read_from_their_start(cluster: Cluster, source: Open) -> None:
    # 1. A group begins with `latest`: what is there is not read. 2. A partition is added, and written to at once.
    # 3. The member leaves; another partition is added and written to. 4. The member comes back.
    # Result: everything in the added partitions is read, within a minute, and nothing of the past.
    topic, group = cluster.topic(), cluster.name("group")
    cluster.send(topic, [b"past"] * 5, partition=0)
    first = source(topic, group=group)
    assert settle(first) == set()

    cluster.add_partitions(topic, 2)
    cluster.send(topic, [b"new"] * 5, partition=1)
    cluster.send(topic, [b"new"] * 5, partition=0)
    wanted = {(topic, 1, offset) for offset in range(5)} | {(topic, 0, offset) for offset in range(5, 10)}
    assert read_until(first, wanted, seconds=60) == wanted
    settle(first)
    first.close()

    cluster.add_partitions(topic, 3)
    cluster.send(topic, [b"new"] * 5, partition=2)
    wanted = {(topic, 2, offset) for offset in range(5)}
    assert read_until(source(topic, group=group), wanted) == wanted


def test_added_partitions_are_seen_by_a_static_member_that_came_back(cluster: Cluster, source: Open) -> None:
    # 1. A member with a lasting name leads its group and leaves. 2. A partition is added. 3. The member comes back: the
    # broker hands it what it had, without a rebalance. 4. Another partition is added. Result: both are read.
    topic, group = cluster.topic(), cluster.name("group")
    first = source(topic, group=group, group_instance_id="one")
    settle(first)
    first.close()
    cluster.add_partitions(topic, 2)
    cluster.send(topic, [b"new"] * 5, partition=1)
    second = source(topic, group=group, group_instance_id="one")
    wanted = {(topic, 1, offset) for offset in range(5)}
    assert read_until(second, wanted, seconds=60) == wanted

    cluster.add_partitions(topic, 3)
    cluster.send(topic, [b"new"] * 5, partition=2)
    wanted = {(topic, 2, offset) for offset in range(5)}
    assert read_until(second, wanted, seconds=60) == wanted


def test_a_rebalance_is_told_between_two_polls(cluster: Cluster, source: Open) -> None:
    # 1. One member has three partitions. 2. Another one joins: what the first gives up is told there as revoked and
    # here as assigned. 3. The first leaves: the other is assigned the rest. Result: no partition is told twice.
    topic, group = cluster.topic(partitions=3), cluster.name("group")
    everything = {Partition(topic, number) for number in range(3)}
    first = source(topic, group=group)
    settle(first)
    assert first.changes() == Changes(dict.fromkeys(everything, Start(0, ours=False)), frozenset(everything))
    second = source(topic, group=group)
    settle(first, second, when=lambda: bool(second.assigned()))
    given, taken = first.changes(), second.changes()
    assert given.assigned == given.lost == taken.revoked == taken.lost == frozenset()
    assert given.revoked == taken.assigned == second.assigned()
    assert 0 < len(taken.assigned) < 3
    assert first.assigned() == everything - taken.assigned
    first.close()
    settle(second, when=lambda: second.assigned() == everything)
    rest = frozenset(everything - taken.assigned)
    assert second.changes() == Changes(dict.fromkeys(rest, Start(0, ours=True)), rest)


def test_a_new_group_of_two_reads_nothing_of_the_past(cluster: Cluster, source: Open) -> None:
    # The second member finds offsets of the first, and none for its own partitions: they are not new for all that.
    topic, group = cluster.topic(partitions=2), cluster.name("group")
    for partition in range(2):
        cluster.send(topic, [b"past"] * 5, partition=partition)
    members = [source(topic, group=group) for _ in range(2)]
    assert settle(*members) == set()
    committed = cluster.committed(group, topic)
    assert committed == {0: 5, 1: 5}


def test_a_partition_beside_offsets_of_another_program_is_read_from_its_start(cluster: Cluster, source: Open) -> None:
    topic, group = cluster.topic(partitions=2), cluster.name("group")
    for partition in range(2):
        cluster.send(topic, [b"past"] * 5, partition=partition)
    commit_elsewhere(cluster, group, Partition(topic, 0), 3)
    wanted = {(topic, 0, 3), (topic, 0, 4)} | {(topic, 1, offset) for offset in range(5)}
    assert read_until(source(topic, group=group), wanted) == wanted


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_records_deleted_before_they_were_read_are_counted_and_said(
    cluster: Cluster, source: Open, caplog: pytest.LogCaptureFixture, start: str
) -> None:
    topic, group = cluster.topic(), cluster.name("group")
    first = source(topic, group=group, start=start)
    settle(first)
    cluster.send(topic, [b"x"] * 100, partition=0)
    read_until(first, {(topic, 0, 99)})
    assert first.commit({Partition(topic, 0): 10})
    first.close()
    cluster.admin.delete_records({TopicPartition(topic, 0): 50})

    # `latest` is where a new group begins; one that lags goes on with what is still there.
    again = source(topic, group=group, start=start)
    assert read_until(again, {(topic, 0, 99)}) == {(topic, 0, o) for o in range(50, 100)}
    assert again.changes().missed == {topic: 40}
    assert again.changes().missed == {}
    assert f"40 records of {topic}/0 (offsets 10 to 49) were deleted before they were read" in caplog.text


@pytest.mark.timeout(SECONDS)
def test_deleted_records_are_passed_over_once_a_broker_that_was_away_is_back(
    cluster: Cluster, source: Open, pausable: Broker
) -> None:
    # 1. The next records of a member are deleted, and its client has heard that. 2. The broker goes away before the
    # member looks where to go on. 3. It comes back. Result: the member goes on behind them.
    topic, group = cluster.topic(), cluster.name("group")
    cluster.send(topic, [b"x"] * 100, partition=0)
    cluster.admin.delete_records({TopicPartition(topic, 0): 50})
    commit_elsewhere(cluster, group, Partition(topic, 0), 10)
    member = source(topic, group=group)
    settle(member)
    time.sleep(1)  # the client hears it with its first fetch
    pause(pausable)
    try:
        assert poll(member) == set()
    finally:
        resume(pausable)
    read: list[int] = []
    while read[-1:] != [99]:
        read += member.poll(0.2).offsets
    assert read == list(range(50, 100))
    assert member.changes().missed == {topic: 40}


def test_a_topic_that_was_made_anew_is_read_from_its_start(
    cluster: Cluster, source: Open, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = cluster.topic(), cluster.name("group")
    first = source(topic, group=group)
    settle(first)
    cluster.send(topic, [b"x"] * 20, partition=0)
    read_until(first, {(topic, 0, 19)})
    first.close()
    commit_elsewhere(cluster, group, Partition(topic, 0), 1000)  # as it was before
    again = source(topic, group=group)
    assert read_until(again, {(topic, 0, 19)}) == {(topic, 0, offset) for offset in range(20)}
    assert again.changes().missed == {}
    assert f"{topic}/0 ends before offset 1000" in caplog.text


def test_a_topic_that_was_made_anew_while_it_was_read_is_read_from_its_start(cluster: Cluster, source: Open) -> None:
    # 1. A group begins with `latest`. 2. Its topic goes, and the member has seen that. 3. The topic comes back, and is
    # written to before the member sees it. Result: all of it is read.
    topic, group = cluster.topic(), cluster.name("group")
    member = source(topic, group=group)
    settle(member)
    cluster.send(topic, [b"old"] * 3, partition=0)
    read_until(member, {(topic, 0, 2)})
    cluster.admin.delete_topics([topic])
    wait_for("the topic gone", lambda: not poll(member) and not member.assigned())

    cluster.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    cluster.add_partitions(topic, 2)
    wanted = {(topic, partition, offset) for partition in range(2) for offset in range(5)}
    for partition in range(2):
        cluster.send(topic, [b"new"] * 5, partition=partition)
    assert read_until(member, wanted, seconds=60) == wanted


def test_a_new_topic_of_a_pattern_is_read_from_its_start_by_whoever_comes(cluster: Cluster, source: Open) -> None:
    # 1. A group begins with `latest` at the topics that a pattern matches. 2. It leaves. 3. Another topic is made and
    # written to. 4. A member comes back. Result: the topic is new to the group, and nothing of it is passed over.
    name, group = cluster.name("many"), cluster.name("group")
    old, new = f"{name}.old", f"{name}.new"
    pattern = f"^{name}\\..*"
    for topic in (old, f"{name}.other"):
        cluster.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        cluster.send(topic, [b"past"] * 5, partition=0)
    first = source(pattern, group=group)
    assert settle(first) == set()
    first.close()
    cluster.admin.create_topics({new: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    cluster.send(new, [b"new"] * 5, partition=0)
    wanted = {(new, 0, offset) for offset in range(5)}
    assert read_until(source(pattern, group=group), wanted) == wanted


def test_a_new_topic_of_a_pattern_is_read_by_members_that_are_there(cluster: Cluster, source: Open) -> None:
    # 1. Two members read the topics that a pattern matches. 2. Another one is made and written to. Result: all of it is
    # read, once, and so is the rest.
    name, group = cluster.name("many"), cluster.name("group")
    old, new = f"{name}.old", f"{name}.new"
    cluster.admin.create_topics({old: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    members = [source(f"^{name}\\..*", group=group) for _ in range(2)]
    settle(*members)
    cluster.admin.create_topics({new: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    for partition in range(2):
        cluster.send(new, [b"new"] * 5, partition=partition)
        cluster.send(old, [b"new"] * 5, partition=partition)
    wanted = {(topic, partition, offset) for topic in (old, new) for partition in range(2) for offset in range(5)}
    read: list[tuple[str, int, int]] = []
    deadline = time.monotonic() + SECONDS
    with ThreadPoolExecutor(len(members)) as pool:  # in turns, one would wait for the other's poll to end a join
        while not wanted <= set(read):
            assert time.monotonic() < deadline, f"not read: {sorted(wanted - set(read))[:5]}"
            read += itertools.chain.from_iterable(pool.map(poll, members))
    assert sorted(read) == sorted(wanted)


def test_a_join_is_taken_up_however_short_the_polls_are(cluster: Cluster, source: Open) -> None:
    # The leader of a group sees a new partition and joins again, in polls too short to see the join end: the client's
    # own loop would leave the answer lie and be outside the group for good, as all commits would show.
    topic = cluster.topic()
    member = source(topic, group=cluster.name("group"))
    settle(member)
    cluster.admin.create_partitions({topic: 8})
    deadline = time.monotonic() + SECONDS
    while len(member.assigned()) < 8:
        assert time.monotonic() < deadline, f"{member.membership()} with {len(member.assigned())} partitions"
        poll(member, 0.001)
    assert member.membership() is Membership.MEMBER
    assert member.commit({Partition(topic, p): 0 for p in range(8)})


def test_a_member_that_falls_out_of_a_join_goes_on_from_the_commit(cluster: Cluster, source: Open) -> None:
    # 1. A member has read five records, and waits for the end of a rebalance, which a second member holds up. 2. The
    # broker drops it, as after a long silence. 3. The second one commits ten records and leaves. Result: the first
    # knows that the partition was lost, commits nothing that it read before, and goes on at the commit.
    topic, group = cluster.topic(), cluster.name("group")
    partition = Partition(topic, 0)
    member = source(topic, group=group, start="earliest")
    settle(member)
    (mine,) = _members(cluster, group)
    second, third = (_cooperative_member(cluster, topic, group) for _ in range(2))
    settle(member, when=lambda: not second.poll(timeout_ms=100) and _is_member(second))
    cluster.send(topic, [b"x"] * 5, partition=0)
    while not len(member.poll(0.2)):
        pass

    def waits() -> bool:
        third.poll(timeout_ms=100)
        member.poll(0.1)
        return member.membership() is Membership.JOINING

    wait_for("a join that does not end", waits)
    cluster.send(topic, [b"x"] * 15, partition=0)
    second.commit({TopicPartition(topic, 0): OffsetAndMetadata(10, "", -1)})
    member.changes()
    cluster.admin.remove_group_members(group, [MemberToRemove(member_id=mine)])
    second.close()
    third.close()
    read: Offsets = set()

    def is_back() -> bool:
        batch = member.poll(0.1)
        if member.commit(batch.positions):
            read.update((topic, 0, offset) for offset in batch.offsets)
        return mine not in _members(cluster, group) and member.joined()

    wait_for("the member is back", is_back)
    assert member.changes().lost == {partition}
    assert read | read_until(member, {(topic, 0, 19)}) == {(topic, 0, offset) for offset in range(10, 20)}


def _cooperative_member(cluster: Cluster, topic: str, group: str) -> KafkaConsumer:
    """A member of a group that commits nothing by itself."""
    return KafkaConsumer(
        topic,
        bootstrap_servers=cluster.bootstrap,
        group_id=group,
        enable_auto_commit=False,
        partition_assignment_strategy=(CooperativeStickyAssignor,),
    )


def _is_member(consumer: KafkaConsumer) -> bool:
    state: MemberState = consumer.group_metadata().state
    return state is MemberState.STABLE


def _members(cluster: Cluster, group: str) -> set[str]:
    """The identifiers of a group's members."""
    return {member["member_id"] for member in cluster.admin.describe_groups([group])[group]["members"]}


def test_the_marker_of_a_transaction_is_no_lag(cluster: Cluster, source: Open) -> None:
    # The end of the topic is behind the marker, which no record holds and nobody commits.
    topic = cluster.topic()
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=topic)
    producer.init_transactions()
    for value, end in ((b"kept", producer.commit_transaction), (b"undone", producer.abort_transaction)):
        producer.begin_transaction()
        producer.send(topic, value, partition=0)
        producer.flush()
        end()
    producer.close()
    wait_for("the markers, which the broker writes in its own time", lambda: cluster.ends(topic) == {0: 4})
    member = source(topic, group=cluster.name("group"), start="earliest", isolation_level="read_committed")
    assert read_until(member, {(topic, 0, 0)}) == {(topic, 0, 0)}
    deadline = time.monotonic() + SECONDS
    while member.positions()[Partition(topic, 0)].lag_records:
        assert time.monotonic() < deadline, "lag without records"
        assert poll(member) == set()


def test_what_an_open_transaction_holds_back_is_lag(cluster: Cluster, source: Open) -> None:
    topic = cluster.topic()
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"open", partition=0)
    producer.flush()
    cluster.send(topic, [b"behind it"] * 5, partition=0)
    member = source(topic, group=cluster.name("group"), start="earliest", isolation_level="read_committed")
    settle(member)
    deadline = time.monotonic() + SECONDS
    while member.positions()[Partition(topic, 0)].lag_records != 6:
        assert time.monotonic() < deadline, "records that cannot be read are no lag"
        assert poll(member) == set()
    producer.commit_transaction()
    producer.close()
    assert len(read_until(member, {(topic, 0, 5)})) == 6


@pytest.mark.timeout(SECONDS)
def test_a_lone_record_is_not_held_back(cluster: Cluster, source: Open) -> None:
    # An hour is the most that a batch waits for more; nothing more comes, so it does not wait.
    topic = cluster.topic()
    member = source(topic, group=cluster.name("group"), wait=3600)
    settle(member)
    cluster.send(topic, [b"x"], partition=0)
    assert read_until(member, {(topic, 0, 0)}) == {(topic, 0, 0)}


@pytest.mark.timeout(SECONDS)
def test_records_that_keep_coming_hold_none_of_them_back(cluster: Cluster, source: Open) -> None:
    # They come for as long as nothing is read, with a batch of an hour and of more records than will ever be there.
    topic, stop = cluster.topic(), threading.Event()
    member = source(topic, group=cluster.name("group"), wait=3600, max_records=1_000_000)
    settle(member)

    def feed() -> None:
        while not stop.is_set():
            cluster.send(topic, [b"x"], partition=0)

    with ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(feed)
        try:
            while not poll(member):
                pass
        finally:
            stop.set()
        feeding.result()


def test_a_question_does_not_wait_long_for_a_fetch(cluster: Cluster, source: Open) -> None:
    # A broker answers what comes on one connection in turn, and holds a fetch while there is nothing to read. Records
    # of another broker would wait for as long.
    topic = cluster.topic()
    member = source(topic, group=cluster.name("group"), fetch_max_wait_ms=Kafka().fetch_max_wait_ms)
    settle(member)
    took = []
    for _ in range(9):
        poll(member, 0.01)  # leaves a fetch behind
        start = time.monotonic()
        assert member.answers()
        took.append(time.monotonic() - start)
    assert sorted(took)[4] < 0.3, took


def test_a_batch_is_filled_while_the_broker_has_more(cluster: Cluster, source: Open) -> None:
    topic = cluster.topic()
    cluster.send(topic, [b"x" * 1000] * 1000, partition=0)
    member = source(
        topic, group=cluster.name("group"), start="earliest", wait=SECONDS, max_partition_fetch_bytes=20_000
    )
    sizes: list[int] = []
    while sum(sizes) < 1000:
        sizes.append(len(member.poll(1)))
    assert [size for size in sizes if size] == [1000]


def test_large_records_make_small_batches(source: Open, cluster: Cluster) -> None:
    topic = cluster.topic(partitions=2)
    cluster.send(topic, [b"x" * 1000] * 100)
    opened = source(topic, group=cluster.name("group"), start="earliest", max_bytes=1_000_000, wait=1.0)
    sizes: list[int] = []
    cluster.send(topic, [b"x" * 100_000] * 200)
    while sum(sizes) < 20_100_000:
        sizes.append(sum(len(value or b"") for value in opened.poll(1.0).values))
    assert max(sizes) < 4_000_000, sizes  # all that comes within a second would be 20 MB
