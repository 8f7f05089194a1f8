"""Every metric: the process that has it, name, help, labels. docs/metrics.md is tested to be equal to this file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from aestream.types import Eviction, PassedOver, Reason

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LATENCY_SECONDS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0,
)  # fmt: skip
_RECORDS = (1, 5, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000)
_TRAINING_SECONDS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)


class BatchHistogram(Collector):
    """A histogram that counts a whole batch of observations in one call."""

    def __init__(self, name: str, text: str, buckets: tuple[float, ...], *, registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._bounds = np.asarray(buckets)
        self._state = (np.zeros(len(buckets) + 1, np.int64), 0.0)
        registry.register(self)

    def observe(self, values: ArrayLike) -> None:
        """Count the values (n,) into the buckets."""
        observed = np.asarray(values, np.float64)
        counts, total = self._state
        places = np.searchsorted(self._bounds, observed, side="left")
        # one assignment, so that a scrape on another thread sees counts and sum of the same moment
        self._state = (counts + np.bincount(places, minlength=len(counts)), total + float(observed.sum()))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The cumulative counts, as Prometheus expects them."""
        counts, total = self._state
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        cumulative = np.cumsum(counts).tolist()
        yield HistogramMetricFamily(
            self._name, self._text, buckets=list(zip(bounds, cumulative, strict=True)), sum_value=total
        )


class Metrics:
    """What every process exports, registered in `registry`. Metrics count by batch, and have no key or entity label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.build_info = self._gauge("build_info", "The version of aestream; always 1.", "version")
        self.ready = self._gauge("ready", "1 while /readyz reports ready, else 0.")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"aestream_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"aestream_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"aestream_{name}", text, labels, registry=self.registry, buckets=buckets)


class WorkerMetrics(Metrics):
    """What a worker exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)

        # The stream
        self.records_consumed = self._counter("records_consumed", "Records read from the input topics.", "topic")
        self.records_missed = self._counter(
            "records_missed", "Records that were deleted from the topic before they were read.", "topic"
        )
        self.records_scored = self._counter("records_scored", "Records that got a score.")
        self.anomalies = self._counter("anomalies", "Records flagged as anomalies (score above 1).")
        self.dead_letters = self._counter("dead_letters", "Records that could not be scored, by reason.", "reason")
        self.records_passed_over = self._counter(
            "records_passed_over", "Records that are not to be scored, by reason.", "reason"
        )
        self.unseen_categories = self._counter(
            "unseen_categories", "Values of a categorical feature that training did not see.", "feature"
        )
        self.batch_duration = self._histogram(
            "batch_duration_seconds", "Time a batch spends in a stage of the loop.", _SECONDS, "stage"
        )
        self.batch_size = self._histogram("batch_size_records", "Records in a batch.", _RECORDS)
        self.end_to_end_latency = BatchHistogram(
            "aestream_end_to_end_latency_seconds",
            "Time from a record's timestamp to its published score.",
            _LATENCY_SECONDS,
            registry=registry,
        )
        self.anomaly_score = BatchHistogram(
            "aestream_anomaly_score", "Scores; above 1 is an anomaly.", _SCORES, registry=registry
        )
        self.last_record_processed = self._gauge(
            "last_record_processed_timestamp_seconds", "When the last batch with records was finished."
        )

        # What is remembered
        self.warming_records = self._counter(
            "warming_records", "Records that are never flagged, because too little is known of their entity yet."
        )
        self.late_records = self._counter("late_records", "Records that are older than the latest of their entity.")
        self.entities = self._gauge("entities", "Entities that are remembered.")
        self.entities_held = self._gauge("entities_held", "Entities whose threshold is raised for a while.")
        self.entities_moved = self._gauge("entities_moved", "Entities whose errors have moved for good.")
        self.episodes_open = self._gauge("episodes_open", "Episodes that are open.")
        self.state_bytes = self._gauge("state_bytes", "Size of what is remembered of all entities.")
        self.split_keys = self._counter("split_keys", "Entities that turned up in a second partition of their topic.")
        self.state_evictions = self._counter("state_evictions", "Entities that were forgotten, by reason.", "reason")

        # Kafka
        self.consumer_lag_records = self._gauge(
            "consumer_lag_records",
            "Records between the committed offset and the end of a partition.",
            "topic",
            "partition",
        )
        self.consumer_lag_seconds = self._gauge(
            "consumer_lag_seconds",
            "Age of the newest record read, 0 without lag; before the first, the time since the assignment.",
            "topic",
            "partition",
        )
        self.assigned_partitions = self._gauge("assigned_partitions", "Partitions assigned to this worker.")
        self.rebalances = self._counter("rebalances", "Rebalance events of the consumer group.", "event")
        self.last_commit = self._gauge("last_commit_timestamp_seconds", "When offsets were last committed.")
        self.errors = self._counter("errors", "Errors survived, by stage and kind.", "stage", "error_type")

        # The model
        self.model_info = self._gauge("model_info", "The model in use; always 1.", "name", "version", "sha256")
        self.model_trained = self._gauge("model_trained_timestamp_seconds", "When the model in use was trained.")
        self.model_last_reload_successful = self._gauge(
            "model_last_reload_successful", "1 if the last attempt to load a model worked."
        )
        self.model_reloads = self._counter("model_reloads", "Attempts to load a model version, by outcome.", "status")
        self.score_threshold = self._gauge("score_threshold", "Error at which the score is 1.")

        self.inference_threads = self._gauge("inference_threads", "Threads that a forward pass uses.")

        # A counter that starts at 1 shows no increase, so those with known labels start at 0.
        for outcome in ("success", "failed"):
            self.model_reloads.labels(outcome)
        for reason in Reason:
            self.dead_letters.labels(reason)
        for passed in PassedOver:
            self.records_passed_over.labels(passed)
        for eviction in Eviction:
            self.state_evictions.labels(eviction)
        self.errors.labels("commit", "refused")
        self.errors.labels("commit", "aborted")


class TrainerMetrics(Metrics):
    """What a trainer exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.trainer_runs = self._counter("trainer_runs", "Training runs, by outcome.", "outcome")
        self.trainer_duration = self._histogram(
            "trainer_duration_seconds", "Length of a training run.", _TRAINING_SECONDS
        )
        self.trainer_last_success = self._gauge(
            "trainer_last_success_timestamp_seconds", "When a training run last published a model."
        )
        for outcome in ("success", "failed"):
            self.trainer_runs.labels(outcome)  # starts at 0, so that the first increase shows
