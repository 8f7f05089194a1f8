"""A worker where torch is not installed: it starts and scores all the same, and is small."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests import torchless
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.service import Service

Make = Callable[..., Mapping[str, str]]
# What the issue allows: at 20 features, the state of entities aside. A machine under load starts more slowly.
MOST_BYTES, MOST_SECONDS = 150 * 2**20, 10.0


def test_it_starts_soon_scores_and_stays_small(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    topic = cluster.topic()
    cluster.send(topic, records.values(2000))
    settings = make_settings(tmp_path, topic)
    began = time.monotonic()
    hidden = torchless.variables(tmp_path / "hidden")
    with Service(["worker"], settings=settings, folder=tmp_path, variables=hidden) as worker:
        worker.logged("scoring with model")
        assert time.monotonic() - began < MOST_SECONDS
        worker.ready()
        worker.until("all are scored", lambda: cluster.count(settings["topics__scores"]) == 2000, seconds=60)
        assert "torch" not in Path(f"/proc/{worker.process.pid}/maps").read_text()
        assert psutil.Process(worker.process.pid).memory_info().rss < MOST_BYTES
        assert worker.stop() == 0, worker.log
