"""What the settings make of a model: its way from bytes to messages."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from aestream.app import models
from aestream.detector.detector import Detector
from aestream.errors import ModelError
from aestream.registry.local import LocalRegistry
from aestream.settings import settings
from aestream.types import Batch, Partition, Span
from tests.stores import put


@pytest.mark.parametrize(("key", "entity"), [("host", {"host": "web-1"}), ("", None)])
def test_the_fields_of_the_key_say_which_entity_an_anomaly_is_about(key: str, entity: dict[str, str] | None) -> None:
    rng = random.Random(0)
    detector = Detector(false_alarm_rate=0.01, steps=50)
    detector.fit([{"cpu": rng.gauss(0, 1), "io": rng.gauss(0, 1)} for _ in range(500)])
    loaded = settings.load(None, {"features": {"key": key}})
    value = json.dumps({"cpu": 50.0, "io": 0.0, "host": "web-1"}).encode()
    records = Batch([Span(Partition("in", 0), 0, 1)], [0], [0], [None], [value], [()])
    pipeline = models.pipeline(loaded, detector, "1")
    decoded = pipeline.decode(records)
    scored = pipeline.score(records, decoded)
    (_, anomalies) = pipeline.results(records, decoded, scored, lambda _topic: 10_000).messages
    assert json.loads(anomalies.values[0] or b"").get("entity") == entity


def test_a_worker_refuses_counters_that_were_learnt_without_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"cpu": rng.normal(), "requests": 100.0 * step + rng.integers(50)} for step in range(600)]
    loaded = settings.load(None, {"model": {"store": str(tmp_path)}})
    store = LocalRegistry(tmp_path, "default")
    without = Detector(window=3, steps=50).fit(rows)
    assert len(without.schema.counters)
    with pytest.raises(ModelError, match="name the field with the time"):
        models.load_model(loaded, put(store, without.save))
    timed = Detector(window=3, steps=50).fit(rows, times=np.arange(600.0))
    assert models.load_model(loaded, put(store, timed.save)).version
