"""What fitting and scoring cost, on one thread: made rows, since only their number and width count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from aestream import Detector
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library

# Training rows x features, and the memory where it is not the default's 2,000 rows.
SIZES = (
    "5000 x 20",
    "5000 x 20, memory 0",
    "5000 x 20, memory 4000",
    "5000 x 5",
    "5000 x 100",
    "100000 x 20",
    "1000000 x 20",
)
BATCH = 5_000
ROUNDS = 30


def cost(_library: Library, scope: Scope) -> Iterator[Cell]:
    """A few sizes."""
    if scope.wants(AESTREAM):
        for size in SIZES[: 2 if scope.quick else None]:
            yield Cell("cost", f"made/{size}", "", scope.seeds[0], AESTREAM)


def measure_cost(cell: Cell, _library: Library) -> Figures:
    """Seconds of a fit; microseconds a record of detect, the median over batches."""
    size, _, memory = cell.data.removeprefix("made/").partition(", memory ")
    rows, features = (int(number) for number in size.split(" x "))
    random = np.random.default_rng(cell.seed)
    mixing = random.normal(size=(max(features // 4, 1), features))
    count = rows + BATCH
    matrix = random.normal(size=(count, len(mixing))) @ mixing + 0.1 * random.normal(size=(count, features))
    Detector(steps=1).fit(matrix[:100])  # the first fit of a process loads what torch puts off
    started = time.process_time()
    options: dict[str, Any] = {"memory": int(memory)} if memory else {}
    detector = Detector(seed=cell.seed, **options).fit(matrix[:rows])
    seconds = time.process_time() - started
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        detector.detect(matrix[rows:])
        times.append(time.process_time() - started)
    return {"fit_seconds": seconds, "detect_us": 1e6 * float(np.median(times)) / BATCH}
