"""The metrics of the worker's loop, kept by the one object that the loop reports to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from aestream.errors import AestreamError
from aestream.pipeline import LoadedModel, Results
from aestream.service.metrics import WorkerMetrics
from aestream.types import Batch, Changes, Level, Memory, Partition, Position, Status


class Meter:
    """Turns what happens in the loop into metrics."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics
        self._info: tuple[str, ...] | None = None  # labels of the model in use
        self._positions: Mapping[Partition, Position] = {}  # those that are shown
        self._aborted = 0  # transactions

    def uses(self, model: LoadedModel) -> None:
        """Batches are scored with this model from here on."""
        info = (*model.version.split("@"), model.sha256)
        self._metrics.model_info.labels(*info).set(1)
        if self._info not in {None, info}:
            self._metrics.model_info.remove(*self._info)
        self._info = info
        self._metrics.model_trained.set(model.trained)
        self._metrics.score_threshold.set(model.threshold)
        for feature in model.pipeline.categories:
            self._metrics.unseen_categories.labels(feature)  # starts at 0, so that the first increase shows

    @contextmanager
    def timed(self, stage: str, *, when: bool = True) -> Iterator[None]:
        """Time one stage of a batch, but only `when` there is something to do; count its errors."""
        start = time.perf_counter()
        try:
            yield
        except AestreamError as error:
            self._metrics.errors.labels(stage, type(error).__name__).inc()
            raise
        if when:
            self._metrics.batch_duration.labels(stage).observe(time.perf_counter() - start)

    def changed(self, changes: Changes) -> None:
        """Partitions came or went, or records were deleted before they were read."""
        for event in changes.rebalances:
            self._metrics.rebalances.labels(event).inc()
        for topic, records in changes.missed.items():
            self._metrics.records_missed.labels(topic).inc(records)

    def published(self, batch: Batch, results: Results) -> None:
        """All results of a batch are acknowledged."""
        metrics, scored = self._metrics, results.scored
        for (topic, _), start, stop in batch.spans:
            metrics.records_consumed.labels(topic).inc(stop - start)
        metrics.records_scored.inc(len(scored.rows))
        metrics.anomalies.inc(len(scored.flagged))
        if scored.status is not None:
            metrics.late_records.inc(int(np.count_nonzero(scored.status == Status.LATE)))
            metrics.warming_records.inc(int(np.count_nonzero(scored.status == Status.WARMING)))
        for problem in results.invalid:
            metrics.dead_letters.labels(problem.reason).inc()
        for reason, count in results.passed.items():
            metrics.records_passed_over.labels(reason).inc(count)
        for feature, count in scored.unseen.items():
            metrics.unseen_categories.labels(feature).inc(count)
        metrics.batch_size.observe(len(batch))
        metrics.last_record_processed.set_to_current_time()
        metrics.anomaly_score.observe(scored.score)
        stamped = np.asarray(batch.timestamps, np.float64)
        age = time.time() - stamped[stamped > 0] / 1000  # a record without a timestamp has none
        metrics.end_to_end_latency.observe(np.maximum(age, 0.0))

    def committed(self) -> None:
        """Offsets were committed."""
        self._metrics.last_commit.set_to_current_time()

    def refused(self) -> None:
        """A commit was refused."""
        self._metrics.errors.labels("commit", "refused").inc()

    def aborted(self, transactions: int) -> None:
        """So many transactions in all were not committed, as far as this delivery knows."""
        self._metrics.errors.labels("commit", "aborted").inc(max(transactions - self._aborted, 0))
        self._aborted = transactions

    def remembers(self, memory: Memory) -> None:
        """How much is remembered, and of how many entities."""
        metrics = self._metrics
        metrics.entities.set(sum(memory.levels.values()))
        metrics.entities_held.set(memory.levels[Level.HELD])
        metrics.entities_moved.set(memory.levels[Level.MOVED])
        metrics.episodes_open.set(memory.episodes)
        metrics.state_bytes.set(memory.bytes)
        metrics.split_keys.inc(memory.split_keys)
        for reason, count in memory.evicted.items():
            metrics.state_evictions.labels(reason).inc(count)

    def stands(self, positions: Mapping[Partition, Position], partitions: int) -> None:
        """How many partitions are assigned, and how far behind its end each one is."""
        self._metrics.assigned_partitions.set(partitions)
        records, seconds = self._metrics.consumer_lag_records, self._metrics.consumer_lag_seconds
        for (topic, partition), position in positions.items():
            records.labels(topic, partition).set(position.lag_records)
            seconds.labels(topic, partition).set(position.lag_seconds)
        # not cleared before: a scrape at that moment would find no partition at all
        for topic, partition in self._positions.keys() - positions.keys():
            records.remove(topic, partition)
            seconds.remove(topic, partition)
        self._positions = positions
