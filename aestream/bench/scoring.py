"""Scoring without Kafka, in this process: what a core does from the bytes of a record to those of its score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aestream.pipeline import Pipeline
from aestream.types import Batch

_SECONDS = 20.0
_ANY_SIZE = 2**62


@dataclass(frozen=True, slots=True)
class Scoring:
    """So many records in so many seconds of CPU time."""

    records: int
    cpu: float

    @property
    def rate(self) -> float:
        """Records a second, of a core."""
        return self.records / max(self.cpu, 1e-9)


def score(pipeline: Pipeline, batches: Iterable[Batch], progress: Callable[[int], None]) -> Scoring:
    """Score the batches, or as many of them as there is time for. The first one counts only if it is the only one."""
    records, first, began = 0, None, time.monotonic()
    start = time.process_time()
    for batch in batches:
        decoded = pipeline.decode(batch)
        pipeline.results(batch, decoded, pipeline.score(batch, decoded), lambda _topic: _ANY_SIZE)
        records += len(batch)
        progress(records)
        if first is None:
            first = Scoring(records, time.process_time() - start)
        if time.monotonic() - began > _SECONDS:
            break
    whole = Scoring(records, time.process_time() - start)
    if first is None or whole.records == first.records:
        return whole
    return Scoring(whole.records - first.records, whole.cpu - first.cpu)
