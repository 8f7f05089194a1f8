"""What the loop reports, as metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.types import Partition, Position

FIRST, SECOND = Partition("in", 0), Partition("in", 1)


def test_the_lag_is_shown_for_our_partitions_and_never_interrupted() -> None:
    metrics = WorkerMetrics(CollectorRegistry())
    meter = Meter(metrics)
    meter.stands({FIRST: Position(5, 1.0), SECOND: Position(7, 2.0)}, 2)
    shown = metrics.consumer_lag_records.labels(*FIRST)
    meter.stands({FIRST: Position(6, 1.5)}, 1)
    lag = metrics.registry.get_sample_value
    assert lag("aestream_consumer_lag_records", {"topic": "in", "partition": "0"}) == 6
    assert lag("aestream_consumer_lag_seconds", {"topic": "in", "partition": "0"}) == 1.5
    assert lag("aestream_consumer_lag_records", {"topic": "in", "partition": "1"}) is None
    assert lag("aestream_consumer_lag_seconds", {"topic": "in", "partition": "1"}) is None
    assert metrics.consumer_lag_records.labels(*FIRST) is shown
