"""What is done and said about the entities that are remembered."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from aestream import Detector
from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.service.upkeep import Upkeep
from aestream.types import Partition, Span
from tests.unit.detector.test_stream import HOSTS, fleet
from tests.unit.detector.test_watching import judge

ONE, TWO = Partition("hosts", 0), Partition("hosts", 1)


def test_split_keys_are_counted_and_the_first_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    some = fleet(300)
    stream = Detector(steps=20, window=10).fit(some.matrix, keys=some.keys, times=some.times).watch(1e9)
    metrics = WorkerMetrics(CollectorRegistry())
    upkeep = Upkeep(Meter(metrics), max_bytes=2**30)

    def counted() -> float | None:
        return metrics.registry.get_sample_value("aestream_split_keys_total")

    assert counted() == 0
    judge(stream, some.at(slice(30)), [Span(ONE, 0, 30)])
    upkeep.tidy(stream)
    assert counted() == 0
    assert caplog.messages == []
    for _ in range(2):
        judge(stream, some.at(slice(30, 60)), [Span(TWO, 0, 30)])
        upkeep.tidy(stream)
    assert counted() == len(HOSTS)
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert f"{HOSTS[0]!r} by hosts/0 and hosts/1" in warning.message
