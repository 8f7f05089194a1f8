"""The checker itself: it finds each defect on a handful of records, and reads what a transaction left."""

from __future__ import annotations

import json

import pytest
from kafka import KafkaProducer

from tests.chaos.checker import Results, Table, Verdict, ends, judge, places, read_input, read_results
from tests.kafka.cluster import Cluster, wait_for

Row = tuple[int, int, int, int, bool]  # the partition it is in; its record's partition and offset; key; flagged


def table(*rows: Row) -> Table:
    into, partitions, offsets, keys, flagged = zip(*rows, strict=True) if rows else [()] * 5
    return Table.of([(into, places(partitions, offsets), keys, flagged)])


RECORDS = table(*((p, p, o, 10 * p + o % 2, False) for p in range(2) for o in range(4)))
SCORES: list[Row] = [(p, p, o, 10 * p + o % 2, o == 2) for p in range(2) for o in range(4) if (p, o) != (1, 3)]
LETTERS: list[Row] = [(0, 1, 3, 11, False)]
ANOMALIES: list[Row] = [(0, 0, 2, 0, True), (1, 1, 2, 10, True)]


def verdict(scores: list[Row] = SCORES, letters: list[Row] = LETTERS, anomalies: list[Row] = ANOMALIES) -> Verdict:
    return judge(RECORDS, Results(table(*scores), table(*letters), table(*anomalies)))


def test_a_sound_result_is_sound() -> None:
    assert verdict() == Verdict(records=8)
    assert verdict().faults("exactly_once") == {}
    assert judge(table(), Results(table(), table(), table())) == Verdict()


def test_what_is_lost_twice_or_from_nowhere_is_counted() -> None:
    assert verdict(letters=[]).lost == 1
    assert verdict(scores=SCORES[1:]) == Verdict(records=8, lost=1)
    twice = verdict(letters=[*LETTERS, (0, 0, 1, 1, False)], anomalies=[*ANOMALIES, ANOMALIES[0]])
    assert twice == Verdict(records=8, duplicated=2)
    assert twice.faults("at_least_once") == {}
    assert twice.faults("exactly_once") == {"duplicated": 2}
    assert verdict(scores=[*SCORES, (0, 0, 99, 0, False)]) == Verdict(records=8, unknown=1)
    assert (verdict(letters=[]) + twice) == Verdict(records=16, lost=1, duplicated=2)


def test_disorder_is_told_from_a_batch_that_came_again() -> None:
    again = [SCORES[0], SCORES[1], SCORES[0], SCORES[1], *SCORES[2:]]
    assert verdict(scores=again) == Verdict(records=8, duplicated=2)
    late = [SCORES[1], SCORES[0], *SCORES[2:]]
    assert verdict(scores=late) == Verdict(records=8, out_of_order=1)


def test_a_wrong_key_and_an_anomaly_apart_from_its_score_are_counted() -> None:
    assert verdict(scores=[(0, 0, 0, 77, False), *SCORES[1:]]) == Verdict(records=8, misnamed=1)
    assert verdict(anomalies=ANOMALIES[1:]) == Verdict(records=8, unmatched=1)
    assert verdict(anomalies=[(0, 0, 1, 1, True), *ANOMALIES]) == Verdict(records=8, unmatched=1)


@pytest.mark.parametrize("committed", [True, False])
def test_only_what_is_committed_counts(cluster: Cluster, committed: bool) -> None:
    topic, scores, letters, anomalies = (cluster.topic() for _ in range(4))
    into = {"scores": scores, "letters": letters, "anomalies": anomalies}
    cluster.send(topic, [b"a", b"b"], keys=[b"k", None])
    score = {"source": {"topic": topic, "partition": 0, "offset": 0}, "anomaly": False}
    headers = [(f"aestream.dlq.{name}", value.encode()) for name, value in zip(
        ("topic", "partition", "offset"), (topic, "0", "1"), strict=True
    )]  # fmt: skip
    foreign = {"source": {"topic": "another", "partition": 0, "offset": 7}, "anomaly": False}
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(scores, json.dumps(score).encode(), b"k", partition=0)
    producer.send(scores, json.dumps(foreign).encode(), b"k", partition=0)
    producer.send(letters, b"b", None, headers, partition=0)
    producer.flush()
    (producer.commit_transaction if committed else producer.abort_transaction)()
    producer.close()
    wait_for("the marker", lambda: ends(cluster.bootstrap, [scores])[scores] == {0: 3})
    records = read_input(cluster.bootstrap, topic)
    found = judge(records, read_results(cluster.bootstrap, topic, into, {}))
    assert found == Verdict(records=2, lost=0 if committed else 2)
    later = judge(records, read_results(cluster.bootstrap, topic, into, ends(cluster.bootstrap, [scores, letters])))
    assert later == Verdict(records=2, lost=2)
