"""A stranger in the group: another program with the same group id, subscribed to something else, comes and goes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.service import Service

SECONDS = float(os.environ.get("AESTREAM_TEST_FOREIGN_SECONDS", "30"))
PARTITIONS = 2


@pytest.mark.timeout(SECONDS + 300)
def test_a_foreign_member_that_comes_and_goes_does_no_harm(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. A worker scores a slow stream. 2. Again and again a foreign member joins its group for a moment, subscribed to
    # another topic. 3. The stranger stays away. Result: one process, everything scored and committed; what a
    # rebalance made come twice is little.
    rng = random.Random(1)
    topic, other = cluster.topic(partitions=PARTITIONS), cluster.topic("other")
    settings = make_settings(tmp_path, topic, partitions=PARTITIONS)
    group, visits, sent = settings["kafka__group_id"], 0, 0
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            stranger = KafkaConsumer(
                other,
                bootstrap_servers=cluster.bootstrap,
                group_id=group,
                enable_auto_commit=False,
                partition_assignment_strategy=(CooperativeStickyAssignor,),
            )
            leave = time.monotonic() + rng.uniform(0.05, 5)
            while time.monotonic() < leave:
                stranger.poll(timeout_ms=50)
                cluster.send(topic, records.values(5, seed=sent))
                sent += 5
            stranger.close()
            visits += 1
            time.sleep(rng.uniform(0.5, 3))
        ends = cluster.ends(topic)
        worker.until("everything committed", lambda: cluster.committed(group, topic) == ends)
        assert worker.stop() == 0, worker.log
    scores = [place_of(score_of(record)) for record in cluster.read(settings["topics__scores"])]
    assert len(set(scores)) == sum(ends.values()) == sent
    reopened = worker.log.count("; rejoining")
    print(f"{visits} visits in {SECONDS:.0f} s, {sent} records, {len(scores) - sent} twice, {reopened} times anew")  # noqa: T201
    assert "Traceback" not in worker.log
