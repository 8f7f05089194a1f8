"""What happens to topics: deleted, made anew, enlarged, denied, too small for a message, or emptied by retention."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from tests.chaos.conftest import Stage
from tests.chaos.feed import values
from tests.chaos.form import FORM, some
from tests.chaos.scene import Scene
from tests.kafka.cluster import Cluster, wait_for
from tests.kafka.conftest import CLIENTS

PARTITIONS = 2


def create(cluster: Cluster, topic: str, partitions: int = PARTITIONS) -> None:
    """Make a topic of a known name, once its predecessor is gone."""
    wanted = {topic: {"num_partitions": partitions, "replication_factor": 1}}
    wait_for("the old topic gone", lambda: topic not in cluster.admin.list_topics())
    cluster.admin.create_topics(wanted, wait_for_metadata=True)


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_a_topic_that_is_deleted_and_made_anew(stage: Stage) -> None:
    # 1. A worker has scored what there is. 2. Its topic is deleted, made anew, and written to. Result: the same process
    # reads the new topic from its start.
    with stage("input topic deleted and created again") as scene:
        scene.worker(kafka__auto_offset_reset="latest")
        scene.feed.start()
        scene.goes_on(200)
        scene.settle()
        scene.anew(scene.topic)
        scene.cluster.admin.delete_topics([scene.topic])
        create(scene.cluster, scene.topic)
        scene.feed.start()
        with scene.fault():
            pass
        scene.goes_on(200)
        scene.says("ends before offset", f"partitions (revoked|lost): {scene.topic}")
        scene.finish()
        assert len(scene.workers) == 1


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
@pytest.mark.parametrize("start", some(["latest", "earliest"]))
def test_partitions_that_are_added(stage: Stage, start: str) -> None:
    # 1. A worker reads two partitions. 2. Two more, under load. Result: all of their records are scored, from the
    # first.
    with stage(f"partitions added, auto_offset_reset={start}", kafka__auto_offset_reset=start) as scene:
        scene.worker()
        scene.feed.start()
        scene.goes_on(200)
        with scene.fault():
            scene.cluster.admin.create_partitions({scene.topic: 2 * PARTITIONS})
            scene.until(
                "records in all partitions", lambda: all(scene.cluster.ends(scene.topic).get(p) for p in (2, 3))
            )
        scene.goes_on(200)
        scene.says("partitions assigned: .*/3$")
        scene.finish()


def test_a_result_topic_that_is_missing(stage: Stage) -> None:
    # 1. A worker at work. 2. Its topic for scores is deleted. Result: it waits, and is not ready. 3. The topic is
    # created again. Result: the same process goes on where it was.
    with stage("result topic deleted, then created again") as scene:
        worker = scene.worker()
        scene.feed.start()
        scene.goes_on(200)
        scene.settle()
        scores = scene.into["scores"]
        scene.anew(scores)
        with scene.fault():
            scene.cluster.admin.delete_topics([scores])
            scene.feed.start()
            scene.until("not ready", lambda: worker.get("/readyz")[0] == 503)
            time.sleep(FORM.outage_seconds)  # the time itself is the fault
            create(scene.cluster, scores)
        scene.says(f"does not accept results.*{scores}")
        scene.finish()
        assert len(scene.workers) == 1


def test_a_result_topic_that_is_denied(stage: Stage) -> None:
    # 1. A worker at work. 2. The right to write scores is taken away. Result: it ends, and says which topic and which
    # right. 3. The right is given back, and a supervisor starts the worker again. Result: it goes on where it was.
    with stage("result topic no longer authorised") as scene:
        first = scene.worker()
        scene.feed.start()
        scene.goes_on(200)
        with denied(scene.cluster, scene.into["scores"]):
            assert first.ended() == 1, first.log
        scene.says("aestream worker: .*WRITE", worker=first)
        scene.worker(ready=False)
        with scene.fault():
            pass
        scene.finish()


@contextmanager
def denied(cluster: Cluster, topic: str) -> Iterator[None]:
    """Nobody may write to a topic."""
    who = {"principal": "User:ANONYMOUS", "host": "*", "operation": ACLOperation.WRITE}
    what = {"permission_type": ACLPermissionType.DENY}
    admin: KafkaAdminClient = cluster.admin
    admin.create_acls([ACL(**who, **what, resource_pattern=ResourcePattern(ResourceType.TOPIC, topic))])
    try:
        yield
    finally:
        some = ResourcePatternFilter(ResourceType.TOPIC, topic, ACLResourcePatternType.LITERAL)
        admin.delete_acls([ACLFilter(**who, **what, resource_pattern=some)])


def test_messages_that_a_topic_or_the_broker_does_not_take(stage: Stage) -> None:
    # 1. Topics that take little, and a worker that does not know, for the limits fall while it works. 2. Keys larger
    # than an anomaly may be, and bad records larger than a dead letter may be. Result: each is cut or a dead letter.
    with stage("messages larger than a topic takes") as scene:
        scene.worker()
        scene.feed.start()
        scene.goes_on(200)
        limits = {"scores": 4_000, "anomalies": 6_000, "dead_letters": 20_000}
        with scene.fault():
            scene.cluster.admin.alter_configs(
                [
                    ConfigResource("topic", scene.settings[f"topics__{kind}"], {"max.message.bytes": str(most)})
                    for kind, most in limits.items()
                ]
            )
            for key, value in ((3_000, 30_000), (5_000, 300_000), (15_000, 900_000)):
                scene.cluster.send(scene.topic, [values()[1], values()[53]], keys=[b"n" * key, b"a" * key])
                scene.cluster.send(scene.topic, [b"x" * value])
            scene.until("dead letters", lambda: scene.cluster.count(scene.into["letters"]) > 0)
        scene.says("refuses a message of", "does not accept a message")
        # what the topics did take of a batch is there already when the batch is written anew; a key that leaves no room
        # for the record is left out, as the limit that is learnt may be half of the real one
        scene.finish(allowed={"out_of_order", "unmatched"}, always={"misnamed"})


def test_records_that_retention_deletes_before_they_are_read(stage: Stage) -> None:
    # 1. A worker stands still while records come. 2. Some that it has not read are deleted. 3. It goes on. Result: it
    # scores what is left, and says how many records it has missed.
    with stage("offsets gone by retention", kafka__session_timeout_ms="45000") as scene:
        worker = scene.worker()
        scene.feed.start()
        scene.goes_on(200)
        worker.signal(signal.SIGSTOP)
        time.sleep(1)  # more records come
        scene.feed.pause()
        scene.feed.send(40_000)  # more than a worker has fetched ahead
        scene.keep_input()
        committed, ends = scene.committed(), scene.cluster.ends(scene.topic)
        deleted = {TopicPartition(scene.topic, part): end - 100 for part, end in ends.items()}
        scene.cluster.admin.delete_records(deleted)
        with scene.fault():
            worker.signal(signal.SIGCONT)
        scene.until("the end", scene.done)
        scene.says("were deleted before they were read")
        scored = _scored(scene)
        for part, end in ends.items():
            gone = [offset for offset in range(committed[part], end - 100) if (part, offset) not in scored]
            assert gone == list(range(gone[0], end - 100)), "a gap in what was read"
            scene.forgive(part, gone[0], end - 100)
        missed = worker.metric(f'aestream_records_missed_total{{topic="{scene.topic}"}}')
        assert missed == len(scene._gone)
        scene.finish(times=f"{missed:,.0f} records deleted")


def _scored(scene: Scene) -> set[tuple[int, int]]:
    found = scene.found()
    both = [*found.scores.place, *found.letters.place]
    return {(int(place) >> 44, int(place) & (1 << 44) - 1) for place in both}
