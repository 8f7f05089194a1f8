"""kill -9, again and again, in the middle of a stream: no record is without its score or its dead letter."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.service import Service

RECORDS = int(os.environ.get("AESTREAM_TEST_KILL_RECORDS", "30000"))
KILLS = 10
PARTITIONS = 2
BATCH = 100  # many small batches, so that a kill hits one


@pytest.mark.timeout(1800)
def test_ten_kills_lose_nothing(cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    # Ten times: 1. A tenth of the stream is added to what waits. 2. A worker starts. 3. Its first results appear.
    # 4. kill -9, a random moment later. Then one more worker scores the rest and stops as asked.
    # Result: every record has a score or a dead letter; some have two of the same, as at-least-once allows.
    rng = random.Random(3)
    topic = cluster.topic(partitions=PARTITIONS)
    settings = make_settings(tmp_path, topic, partitions=PARTITIONS)
    settings |= {"worker__max_batch_records": str(BATCH)}
    scores, letters, group = settings["topics__scores"], settings["topics__dead_letters"], settings["kafka__group_id"]

    def results() -> int:
        return cluster.count(scores) + cluster.count(letters)

    share = RECORDS // KILLS
    stream = [b"{" if i % 100 == 99 else value for i, value in enumerate(records.values(share))]
    waiting = 0
    for turn in range(KILLS):
        settings["kafka__group_instance_id"] = "one" if turn % 2 else ""  # with and without static membership
        cluster.send(topic, stream)
        before = results()
        with Service(["worker"], settings=settings, folder=tmp_path) as worker:
            worker.until("new results", lambda before=before: results() > before)
            time.sleep(rng.uniform(0, share / 40_000))
            worker.kill()
        waiting += cluster.count(topic) - sum(cluster.committed(group, topic).values())
    assert waiting > share, "the kills came when all work was done: they prove nothing"

    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        ends = cluster.ends(topic)
        worker.until("the end of the stream", lambda: cluster.committed(group, topic) == ends, seconds=900)
        assert worker.stop() == 0, worker.log

    seen = Counter(place_of(score_of(record))[1:] for record in cluster.read(scores))
    for letter in cluster.read(letters):
        headers = dict(letter.headers)
        seen[int(headers["aestream.dlq.partition"]), int(headers["aestream.dlq.offset"])] += 1
    everything = {(partition, offset) for partition, end in ends.items() for offset in range(end)}
    assert len(everything) == share * KILLS
    assert not everything - seen.keys(), "lost"
    assert not seen.keys() - everything, "from nowhere"
    twice = sum(count - 1 for count in seen.values())
    # What was published and not committed is at most the batch in hand of each partition.
    assert twice <= KILLS * BATCH * PARTITIONS
    print(f"{len(everything)} records, {KILLS} kills, {waiting} waiting at the kills, 0 lost, {twice} twice")  # noqa: T201
