"""What the settings make of a model: its way from bytes to messages."""

from __future__ import annotations

import json
import random

import pytest

from aestream.app import models
from aestream.detector.detector import Detector
from aestream.settings import settings
from aestream.types import Batch, Partition, Span


@pytest.mark.parametrize(("key", "entity"), [("host", {"host": "web-1"}), ("", None)])
def test_the_fields_of_the_key_say_which_entity_an_anomaly_is_about(key: str, entity: dict[str, str] | None) -> None:
    rng = random.Random(0)
    detector = Detector(false_alarm_rate=0.01, steps=50)
    detector.fit([{"cpu": rng.gauss(0, 1), "io": rng.gauss(0, 1)} for _ in range(500)])
    loaded = settings.load(None, {"features": {"key": key}})
    value = json.dumps({"cpu": 50.0, "io": 0.0, "host": "web-1"}).encode()
    records = Batch([Span(Partition("in", 0), 0, 1)], [0], [0], [None], [value], [()])
    pipeline = models.pipeline(loaded, detector, "1")
    (_, anomalies) = pipeline.results(records, pipeline.decode(records), lambda _topic: 10_000).messages
    assert json.loads(anomalies.values[0] or b"").get("entity") == entity
