"""The histogram that takes a batch at a time counts as Prometheus' own does."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from aestream.service.metrics import BatchHistogram, Metrics, TrainerMetrics, WorkerMetrics

BOUNDS = (0.1, 1.0, 5.0)


def test_it_counts_as_the_library_does_one_by_one() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batches = BatchHistogram("h", "text", BOUNDS, registry=ours)
    single = Histogram("h", "text", registry=theirs, buckets=BOUNDS)
    rng = np.random.default_rng(0)
    for size in (0, 1, 500):
        values = np.concatenate([rng.exponential(2.0, size), [0.0, 0.1, 1.0, 5.0, 1e9][: size and 5]])
        batches.observe(values)
        for value in values:
            single.observe(value)
    for name, labels in [("h_count", {}), *(("h_bucket", {"le": le}) for le in ("0.1", "1.0", "5.0", "+Inf"))]:
        short = {label: bound.removesuffix(".0") for label, bound in labels.items()}
        assert ours.get_sample_value(name, short) == theirs.get_sample_value(name, labels)
    assert ours.get_sample_value("h_sum") == pytest.approx(theirs.get_sample_value("h_sum"))
    assert ours.get_sample_value("h_count") == 511


def exported(role: type[Metrics]) -> set[str]:
    registry = CollectorRegistry()
    role(registry)
    families = list(registry.collect())
    assert all(family.name.startswith("aestream_") and family.documentation.endswith(".") for family in families)
    assert generate_latest(registry)
    return {family.name for family in families}


def test_every_metric_has_our_prefix_and_a_help_text() -> None:
    assert len(exported(WorkerMetrics) | exported(TrainerMetrics)) > 20


def test_a_process_exports_its_own_metrics_and_the_common_ones_alone() -> None:
    worker, trainer = exported(WorkerMetrics), exported(TrainerMetrics)
    assert worker & trainer == exported(Metrics)
    assert {name for name in worker | trainer if name.startswith("aestream_trainer_")} == trainer - worker


def test_a_refused_commit_shows_as_an_increase_from_0() -> None:
    metrics = WorkerMetrics(CollectorRegistry())
    refused = {"stage": "commit", "error_type": "refused"}
    assert metrics.registry.get_sample_value("aestream_errors_total", refused) == 0


@pytest.mark.parametrize("seconds", [0.3, 80, 150, 400, 1200])
def test_a_quantile_of_the_latency_is_at_most_three_times_too_high(seconds: float) -> None:
    metrics = WorkerMetrics(CollectorRegistry())
    metrics.end_to_end_latency.observe([seconds])
    (family,) = metrics.end_to_end_latency.collect()
    bounds = [float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket") and s.value]
    assert seconds <= bounds[0] <= 3 * seconds


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    first, second = WorkerMetrics(CollectorRegistry()), WorkerMetrics(CollectorRegistry())
    first.records_scored.inc(5)
    assert second.registry.get_sample_value("aestream_records_scored_total") == 0
    assert first.registry.get_sample_value("aestream_records_scored_total") == 5
