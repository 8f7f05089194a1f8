"""What a worker's metrics say about its rate, over one batch after another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aestream.bench.throughput import Reading, Throughput, measured, watch
from aestream.errors import TransportError

BATCH = 5_000


class Worker:
    """A worker that scores from the second 3 on, a batch every 0.2 s with 0.1 s of CPU time, until it has done all."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.now = 0.0

    def look(self) -> Reading:
        batches = min(max(int((self.now - 3) / 0.2 + 1e-9), 0), self.total // BATCH)
        busy = min(max(self.now - 3, 0), self.total / BATCH * 0.2) / 2
        metrics = {
            "aestream_records_consumed_total": batches * BATCH,
            "aestream_last_record_processed_timestamp_seconds": 3 + batches * 0.2 if batches else 0.0,
            "process_cpu_seconds_total": 2 + busy,
            "process_resident_memory_bytes": 10**8 + batches,
        }
        return Reading.of(metrics if self.now > 1 else {}, self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def followed(worker: Worker, progress: Callable[[int], None] = lambda _done: None) -> Throughput:
    return watch(worker.total, worker.look, progress, worker.sleep, began=0.0)


def test_a_steady_worker_is_measured_exactly_whenever_one_looks() -> None:
    seen: list[int] = []
    found = followed(Worker(200_000), seen.append)
    assert found.rate == pytest.approx(25_000, rel=1e-6)
    assert found.cpu_per_record == pytest.approx(0.1 / BATCH, rel=0.02)
    assert found.start == pytest.approx(3.2)
    assert found.memory == 10**8 + 40
    assert seen[-1] == 200_000


def test_a_worker_that_is_too_slow_is_measured_by_what_it_has_done() -> None:
    found = followed(Worker(10**9))
    assert found.rate == pytest.approx(25_000, rel=1e-6)
    assert found.seconds < 121


def test_a_worker_that_scores_nothing_is_given_up() -> None:
    worker = Worker(10**6)
    with pytest.raises(TransportError, match="scored nothing in 90 s"):
        watch(10**6, lambda: Reading.of({}, worker.now), lambda _done: None, worker.sleep, began=0.0)


def test_one_batch_tells_nothing() -> None:
    with pytest.raises(TransportError, match=r"--records, at least four times as many \(20,000\)"):
        followed(Worker(BATCH))
    reading = Reading(5.0, 10, 4.9, 1.0, 1.0)
    with pytest.raises(TransportError, match="before it could be measured"):
        measured(reading, reading, memory=1.0, began=0.0)
