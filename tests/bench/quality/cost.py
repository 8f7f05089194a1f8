"""What fitting and scoring cost, on one thread: made rows, since only their number and width count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from aestream import Detector
from tests.bench.quality import ours
from tests.bench.quality.ablation import WINDOWED, Override
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library

# Training rows x features, and what is not the default. The rows are independent of each other: they are judged alone,
# unless a window is asked for.
SIZES: dict[str, dict[str, Any]] = {
    "5000 x 20": {},
    "20000 x 20, window 10": {"window": 10},
    "20000 x 20, window 10, 300 entities": {"window": 10},
    "20000 x 38, window 10": {"window": 10},
    "20000 x 38, window 10, convolutional": {"window": 10},
    "20000 x 38, window 10, recurrent": {"window": 10},
    "5000 x 20, memory 0": {"memory": 0},
    "5000 x 20, memory 4000": {"memory": 4000},
    "5000 x 5": {},
    "5000 x 100": {},
    "100000 x 20": {},
    "1000000 x 20": {},
}
# Of the sizes that end so, the part over windows that is replaced.
REPLACED = {"convolutional": "dense network", "recurrent": "dense network, not recurrent"}
BATCH, ENTITIES = 5_000, 300
ROUNDS = 30


def cost(_library: Library, scope: Scope) -> Iterator[Cell]:
    """A few sizes."""
    if scope.wants(AESTREAM):
        for size in list(SIZES)[: 2 if scope.quick else None]:
            yield Cell("cost", f"made/{size}", "", scope.seeds[0], AESTREAM)


def measure_cost(cell: Cell, _library: Library) -> Figures:
    """Seconds of a fit; microseconds a record of detect, the median over batches."""
    name = cell.data.removeprefix("made/")
    part = REPLACED.get(name.rpartition(", ")[2])
    override = WINDOWED[part] if part else Override("")
    with override.applied():
        return _measure(name, cell.seed)


def _measure(name: str, seed: int) -> Figures:
    rows, features = (int(number) for number in name.partition(",")[0].split(" x "))
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(max(features // 4, 1), features))
    count = rows + BATCH
    matrix = random.normal(size=(count, len(mixing))) @ mixing + 0.1 * random.normal(size=(count, features))
    Detector(steps=1).fit(matrix[:100])  # the first fit of a process loads what torch puts off
    started = time.process_time()
    keys = np.arange(count) % ENTITIES if name.endswith("entities") else None
    detector = ours.learnt(matrix[:rows], None if keys is None else keys[:rows], seed=seed, **SIZES[name])
    seconds = time.process_time() - started
    stream, times = detector.stream(), []
    for _ in range(ROUNDS):
        started = time.process_time()
        stream.detect(matrix[rows:], keys=None if keys is None else keys[rows:])
        times.append(time.process_time() - started)
    return {"fit_seconds": seconds, "detect_us": 1e6 * float(np.median(times)) / BATCH}
