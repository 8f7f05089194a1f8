"""The same numbers both ways: what an analyst gets from Python is what running workers publish."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aestream import Detector
from aestream.columns import Kind
from aestream.features.schema import FeatureSchema
from aestream.registry.local import LocalRegistry
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.service import Service
from tests.stores import put

# From one row at a time, by a size that leaves a rest, to all rows at once.
BATCHES = (1, 37, 5000)
ROWS = 600
# float32 rounds by 6e-8, and in another order for another size of batch. A residual of a tenth of a standard deviation
# may be left of inputs of ten, after a few such roundings: 1e-5 of the score or, where that is less, of the threshold.
TOLERANCE = 1e-5
# What can be learnt and judged here: the detector, the rows to judge as an analyst has them, and the same as JSON.
Case = tuple[Detector, Any, list[bytes]]


def plain() -> Case:
    """Six nested numbers of very different size, learnt from a matrix; some rows are far off, two beyond all."""
    names = ("cpu.user", "cpu.system", "disk.bytes", "latency", "queue", "temperature")
    schema = FeatureSchema(names, tuple(tuple(name.split(".")) for name in names))
    scale, middle = np.array([30, 9, 1e9, 0.01, 2, 5]), np.array([50, 20, 4e9, 0.05, 7, 45])

    def table(rows: int, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        return middle + scale * (random.normal(size=(rows, 1)) + 0.3 * random.normal(size=(rows, 6)))

    judged = table(ROWS, 1)
    judged[::20, 1] *= -3
    judged[7, 3], judged[8] = 1e300, -1e30
    records = [
        {"cpu": {"user": user, "system": system}, "disk": {"bytes": disk}, **dict(zip(names[3:], rest, strict=True))}
        for user, system, disk, *rest in judged.tolist()
    ]
    return Detector(false_alarm_rate=0.01, window=1).fit_matrix(table(1500, 0), schema), judged, as_json(records)


def mixed() -> Case:
    """Orders of every kind of field, learnt from a DataFrame: some weights are missing, some regions are new."""

    def orders(rows: int, seed: int) -> list[dict[str, Any]]:
        random = np.random.default_rng(seed)
        start = datetime(2024, 5, 1, tzinfo=UTC)
        made: list[dict[str, Any]] = []
        for place in range(rows):
            at = start + timedelta(minutes=10 * place)
            region, express = ("north", "south", "west")[random.integers(3)], bool(random.random() < 0.3)
            price = {"north": 100, "south": 40, "west": 60}[region] + 20 * express + at.hour + random.normal()
            weight = None if random.random() < 0.1 else price / 10 + 0.1 * random.normal()
            made.append({"region": region, "express": express, "price": price, "weight": weight, "at": at.isoformat()})
        return made

    judged = orders(ROWS, 1)
    judged[3]["region"], judged[4]["region"], judged[5]["price"] = "mars", "", 1e9
    for record in judged[::20]:
        record["express"] = not record["express"]
    detector = Detector(false_alarm_rate=0.01, missing="weight=impute", timestamps=["at"], window=1)
    detector.fit(pd.DataFrame(orders(1500, 0)))
    assert {column.kind for column in detector.schema.columns} == set(Kind)
    sent = [{k: v for k, v in record.items() if k != "weight" or v or i % 2} for i, record in enumerate(judged)]
    assert any("weight" not in record for record in sent)  # a missing value is null here, and no field at all there
    assert any(record.get("weight", 0) is None for record in sent)
    return detector, pd.DataFrame(judged), as_json(sent)


def as_json(records: Sequence[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


@pytest.mark.parametrize("case", [plain, mixed])
def test_workers_publish_what_python_says_whatever_the_size_of_their_batches(
    case: Callable[[], Case], cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. Fit in Python, publish as a model. 2. One worker for each size of batch, over the same topic.
    # Result: each of them publishes error, score, flag and shares of every row as Python has them.
    detector, judged, values = case()
    topic = cluster.topic()
    cluster.send(topic, values)
    put(LocalRegistry(tmp_path / "models", "default"), detector.save)
    published: dict[int, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        running = []
        for size in BATCHES:
            settings = make_settings(tmp_path, topic, model=False)
            settings |= {"worker__max_batch_records": str(size), "output__top_features": "100"}
            worker = stack.enter_context(Service(["worker"], settings=settings, folder=tmp_path))
            running.append((size, worker, settings["topics__scores"]))
        for size, worker, scores in running:
            worker.until("all scores", lambda scores=scores: cluster.count(scores) == ROWS)
            worker.until("its metrics", lambda worker=worker: worker.metric("aestream_batch_size_records_sum") == ROWS)
            assert worker.metric("aestream_batch_size_records_count") >= ROWS / size
            published[size] = [score_of(record) for record in cluster.read(scores)]
            assert worker.stop() == 0, worker.log

    error, score, flags, shares = (
        ask(judged) for ask in (detector.error, detector.score, detector.flag, detector.explain)
    )
    assert 10 < flags.sum() < ROWS / 2
    for scored in published.values():
        assert [place_of(told)[2] for told in scored] == list(range(ROWS))
        assert [told["anomaly"] for told in scored] == flags.tolist()
        assert {told["threshold"] for told in scored} == {detector.threshold}
        assert np.allclose([told["score"] for told in scored], score, rtol=TOLERANCE, atol=TOLERANCE)
        by_threshold = np.array([told["error"] for told in scored]) / detector.threshold
        assert np.allclose(by_threshold, error / detector.threshold, rtol=TOLERANCE, atol=TOLERANCE)
        for row in np.flatnonzero(flags):
            parts = {feature["name"]: feature["share"] for feature in scored[row]["features"]}
            assert [parts[name] for name in detector.schema.names] == pytest.approx(shares[row], abs=TOLERANCE)
