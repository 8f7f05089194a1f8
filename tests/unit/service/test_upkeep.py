"""What is done and said about the entities that are remembered: silent ones, split ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from aestream.detector.detector import Detector
from aestream.errors import TooLargeError
from aestream.service.idle import Idle
from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.service.upkeep import Upkeep
from aestream.transport.memory import MemoryBroker
from aestream.types import Outgoing, Partition, Position
from tests.unit.service.clock import Clock
from tests.unit.test_remembering import FIELDS, INCIDENT, STEP, broker, pipeline, told, trained, without

ONE, TWO = Partition("in", 0), Partition("in", 1)
READ = {ONE: Position(0, 0.0), TWO: Position(0, 0.0)}
LAG = {ONE: Position(3, 1.0), TWO: Position(3, 1.0)}
END = INCIDENT.stop + 2  # of web-2, soon after its incident


@pytest.fixture(scope="module")
def detector() -> Detector:
    return trained(FIELDS)


class Kept:
    """Upkeep of a worker, and what it publishes."""

    def __init__(self, detector: Detector, limit: int = 10_000) -> None:
        self.clock = Clock()
        self.pipeline = pipeline(detector, FIELDS)
        self.sent: list[Outgoing] = []
        self.limits = {"anomalies": limit}
        self.metrics = WorkerMetrics(CollectorRegistry())
        self.upkeep = Upkeep(
            Meter(self.metrics),
            publish=self.publish,
            sendable=lambda topic: self.limits[topic],
            max_bytes=2**30,
            idle=Idle(self.clock),
        )

    def publish(self, messages: Sequence[Outgoing]) -> None:
        self.sent += [some for some in messages if len(some)]

    def hear(self, stored: MemoryBroker) -> list[dict[str, Any]]:
        return told(self.pipeline, stored, 500, heard=self.upkeep.heard)["anomalies"]

    def tidy(self, positions: dict[Partition, Position], seconds: float = 0.0) -> list[dict[str, Any]]:
        """Let so much time pass, a second at a time, and return what is published."""
        before = len(self.sent)
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self.upkeep.tidy(self.pipeline, positions)
        if not seconds:
            self.upkeep.tidy(self.pipeline, positions)
        return [json.loads(value or b"") for some in self.sent[before:] for value in some.values]


@pytest.fixture
def kept(detector: Detector) -> Kept:
    return Kept(detector)


def opened(anomalies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last episode of web-2 that opened."""
    return [a for a in anomalies if a["entity"] == {"host": "web-2"} and a["episode"]["state"] == "opened"][-1]


def test_one_that_falls_silent_is_told_by_the_clock_of_its_partition_once(kept: Kept) -> None:
    # In one partition, web-1 and db-1 go on while web-2 has stopped: no wall clock is needed.
    stored = without(broker(600, 200, partitions=1), "web-2", after=END)
    began = opened(kept.hear(stored))
    (closing,) = kept.tidy({})
    assert closing["episode"]["id"] == began["episode"]["id"]
    assert closing["episode"]["state"] == "closed"
    assert closing["episode"]["features"][0]["name"] == "load"
    assert (closing["anomaly"], closing["status"]) == (False, "silent")
    assert closing["source"]["partition"] == 0
    assert closing["key"] == "web-2"
    assert closing["entity"] == {"host": "web-2"}
    (message,) = kept.sent
    assert message.keys == [b"web-2"]
    headers = dict(message.headers[0])
    assert headers["ce_id"].decode() == f"{began['episode']['id']}/closed"
    assert kept.tidy({}, 5) == []


def test_while_a_whole_partition_is_silent_the_wall_clock_stands_in(kept: Kept) -> None:
    # 1. Nothing is read, or the broker is away: that says nothing. 2. All is read, and nothing comes for long.
    # Result: a closing, and nothing that is remembered has changed.
    began = opened(kept.hear(without(broker(600, END), "db-1", after=0)))
    assert kept.tidy(LAG, 2 * 20 * STEP) == []
    assert kept.tidy({}, 2 * 20 * STEP) == []
    before = kept.pipeline.stream.tidy(2**30)
    assert kept.tidy(READ, 5 * STEP) == []
    (closing,) = kept.tidy(READ, 15 * STEP)
    assert closing["episode"]["id"] == began["episode"]["id"]
    assert kept.pipeline.stream.tidy(2**30) == before
    assert before.episodes == 1


def test_a_record_begins_the_count_of_its_partition_anew(kept: Kept) -> None:
    kept.hear(broker(600, END))
    assert kept.tidy(READ, 9 * STEP) == []
    kept.hear(without(broker(600 + END, 1), "web-1", after=0))
    assert kept.tidy(READ, 9 * STEP) == []
    assert len(kept.tidy(READ, 4 * STEP)) == 1


def test_one_that_returns_and_falls_silent_again_is_told_again(detector: Detector) -> None:
    kept = Kept(detector)
    first = opened(kept.hear(broker(600, END)))
    assert len(kept.tidy(READ, 20 * STEP)) == 1
    # Late on its way: its time says that there was no gap, and the episode goes on.
    kept.hear(without(broker(600 + END, 2), "web-1", after=0))
    assert kept.tidy(READ, 1) == []
    (closing,) = kept.tidy(READ, 20 * STEP)
    assert closing["episode"]["id"] == first["episode"]["id"]


def test_a_closing_that_the_topic_refuses_is_cut_or_left_out(detector: Detector) -> None:
    kept = Kept(detector)
    kept.hear(broker(600, END))
    refused: list[int] = []

    def refuse(messages: Sequence[Outgoing]) -> None:
        if sum(map(len, messages)):
            refused.append(1)
            kept.limits["anomalies"] = 100
            raise TooLargeError("topic anomalies refuses a message")

    kept.upkeep._publish = refuse
    assert kept.tidy(READ, 40 * STEP) == []
    assert refused == [1]


def test_split_keys_are_counted_and_the_first_is_told_once(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    def counted() -> float | None:
        return kept.metrics.registry.get_sample_value("aestream_split_keys_total")

    assert counted() == 0
    kept.hear(without(broker(600, 10, partitions=2), "db-1", after=0))
    kept.tidy({})
    assert counted() == 0
    assert caplog.messages == []
    for _ in range(2):
        kept.hear(without(broker(610, 10, partitions=1), "db-1", after=0))  # web-2 as well by partition 0
        kept.tidy({})
    assert counted() == 1
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "'web-2' over in/1 and in/0" in warning.message


@pytest.mark.parametrize("jump", [30.0, 86_400.0])
def test_time_in_which_the_process_was_stopped_hardly_counts(jump: float) -> None:
    clock = Clock()
    idle = Idle(clock)
    clock.now += jump
    assert idle.look(READ)[ONE] == 10.0
    assert np.isclose(idle.look(READ)[TWO], 10.0)
