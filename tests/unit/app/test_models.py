"""What the settings make of a model: its way from bytes to messages."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from aestream.app import models, trainer
from aestream.detector.detector import Detector
from aestream.errors import ConfigurationError, ModelError
from aestream.registry.local import LocalRegistry
from aestream.service.trainer import Reporter
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
    scored = pipeline.score(decoded)
    (_, anomalies) = pipeline.results(records, decoded, scored, lambda _topic: 10_000).messages
    assert json.loads(anomalies.values[0] or b"").get("entity") == entity


def test_a_worker_refuses_a_model_that_remembers_and_files_do_not(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(600, 3))
    detector = Detector(window=3, steps=50).fit(rows)
    version = put(LocalRegistry(tmp_path, "default"), detector.save)
    loaded = settings.load(None, {"model": {"store": str(tmp_path)}})
    with pytest.raises(ModelError, match="a worker does not remember records yet: train one with"):
        models.load_model(loaded, version)
    assert models.load_detector(loaded).remembers


def test_training_on_a_topic_refuses_windows(tmp_path: Path) -> None:
    given = {"features": {"window": "auto"}, "topics": {"input": "in"}, "model": {"store": str(tmp_path)}}
    with pytest.raises(ConfigurationError, match="set it to 1 to train on a topic"):
        trainer.trainer(settings.load(None, given), Reporter())
