"""Records of one small machine, in the shape that the tests' model knows, and the model itself."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from aestream.detector.detector import Detector
from aestream.registry.local import LocalRegistry
from tests.stores import put


def record(rng: random.Random, **changes: float) -> dict[str, Any]:
    """One normal record: five numbers that hang together."""
    load = rng.random()
    return {
        "host": "h1",
        "cpu": {"user": 60 * load + rng.gauss(0, 1), "system": 20 * load + rng.gauss(0, 1)},
        "queue": 5 * load + rng.gauss(0, 0.2),
        "rate": 1000 * load + rng.gauss(0, 20),
        "temperature": 40 + 10 * load + rng.gauss(0, 0.5),
        **changes,
    }


def values(count: int, *, seed: int = 0) -> list[bytes]:
    """Normal records as JSON."""
    rng = random.Random(seed)
    return [json.dumps(record(rng)).encode() for _ in range(count)]


def anomaly(seed: int = 0) -> bytes:
    """A record that no model of these takes for normal."""
    return json.dumps(record(random.Random(seed), temperature=-500.0, rate=-9000.0)).encode()


@cache
def detector(seed: int) -> Detector:
    """A detector of these records, fitted once a process."""
    rng = random.Random(seed)
    return Detector(false_alarm_rate=0.01, seed=seed, window=1).fit([record(rng) for _ in range(600)])


def train(store: Path, *, seed: int = 0) -> str:
    """Put a model into a store; return its version."""
    return put(LocalRegistry(store, "default"), detector(seed).save)


def lines(count: int, *, seed: int = 0) -> Iterator[str]:
    """Normal records as JSON lines."""
    return (value.decode() for value in values(count, seed=seed))
