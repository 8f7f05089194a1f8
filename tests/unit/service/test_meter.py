"""What the loop reports, as metrics."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry

from aestream.messages.scores import Scored
from aestream.pipeline import Results
from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.types import Batch, Partition, PassedOver, Position

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


def test_what_is_passed_over_is_counted_by_reason_from_zero() -> None:
    metrics = WorkerMetrics(CollectorRegistry())
    none, places = np.empty(0), np.empty(0, np.intp)
    found = Scored(places, none, none, none, np.empty(0, bool), places, (), None, None)
    Meter(metrics).published(Batch(), Results([], found, [], {PassedOver.DELETED: 2, PassedOver.FILTERED: 3}))
    counted = {
        reason: metrics.registry.get_sample_value("aestream_records_passed_over_total", {"reason": reason})
        for reason in PassedOver
    }
    assert counted == {"filtered": 3, "deleted": 2, "tombstone": 0, "no_records": 0}
