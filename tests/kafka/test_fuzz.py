"""Broken messages of every kind through a real worker: each offset ends as a score or as a dead letter."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from aestream.types import Reason
from tests.fuzz.inputs import mutated
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.service import Service

INPUTS = int(os.environ.get("AESTREAM_TEST_FUZZ_INPUTS", "4000"))
PARTITIONS = 2
KEYS = (b"k", b"", b"\xff\x00", None, b"x" * 5000, "\u2028\U0001f600".encode())
HEADERS = ((), (("a", b""),), (("\u00e4", b"\xff"), ("a", b"1"), ("a", b"2")), (("aestream.dlq.offset", b"7"),))


def test_each_offset_ends_as_a_score_or_a_dead_letter(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    rng = random.Random(5)
    topic = cluster.topic(partitions=PARTITIONS)
    settings = make_settings(tmp_path, topic, partitions=PARTITIONS)
    settings |= {"dead_letters__max_invalid_ratio": "1", "dead_letters__max_consecutive_count": "1000000"}
    good = records.values(50)
    inputs: dict[tuple[int, int], bytes | None] = {}
    ends = dict.fromkeys(range(PARTITIONS), 0)
    for i in range(INPUTS):
        partition = i % PARTITIONS
        value = good[0] if i % 10 == 0 else mutated(rng.choice(good), rng)
        inputs[partition, ends[partition]] = value
        ends[partition] += 1
        key = rng.choice(KEYS) if value is not None else b"k"
        cluster.post(topic, value, key=key, headers=rng.choice(HEADERS), partition=partition)
    cluster.flush()
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: cluster.committed(group, topic) == ends, seconds=600)
        assert worker.stop() == 0
        assert "Traceback" not in worker.log
        assert "error" not in worker.log
    scored = [place_of(score_of(record))[1:] for record in cluster.read(settings["topics__scores"])]
    lettered = []
    for letter in cluster.read(settings["topics__dead_letters"]):
        told = dict(letter.headers)
        place = int(told["aestream.dlq.partition"]), int(told["aestream.dlq.offset"])
        lettered.append(place)
        assert letter.value == inputs[place]
        assert told["aestream.dlq.error_type"].decode() in set(Reason)
        assert told["aestream.dlq.error"].decode()
    assert sorted([*scored, *lettered]) == sorted(inputs)
    assert {place for place, value in inputs.items() if value == good[0]} <= set(scored)
    for record in cluster.read(settings["topics__anomalies"]):
        json.loads(record.value)
