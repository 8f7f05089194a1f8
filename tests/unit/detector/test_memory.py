"""How much memory a fit takes beside its sample."""

import tracemalloc

import numpy as np
import pytest

from aestream import portions
from aestream.detector import learn_windows
from aestream.detector.detector import Detector
from aestream.features.schema import FeatureSchema
from aestream.types import Matrix

ENTITIES, RECORDS, FEATURES = 20, 2500, 20


def sample() -> Matrix:
    noise = np.random.default_rng(0).normal(size=(RECORDS, ENTITIES, FEATURES))
    for record in range(1, RECORDS):
        noise[record] += 0.9 * noise[record - 1]
    return noise.reshape(-1, FEATURES)


def test_a_fit_over_windows_holds_few_copies_of_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    # as little beside these rows as beside a million
    monkeypatch.setattr(portions, "_VALUES", 50_000)
    monkeypatch.setattr(learn_windows, "STATISTICS_ROWS", 200)
    matrix, keys = sample(), [f"host-{i}" for i in range(ENTITIES)] * RECORDS
    detector, schema = Detector(window=10, steps=5), FeatureSchema.of_names([f"x{i}" for i in range(FEATURES)])
    tracemalloc.start()
    try:
        detector.fit_matrix(matrix, schema, keys=keys)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * matrix.nbytes  # it was 4.5, and 19.5 where every step made copies of its own
