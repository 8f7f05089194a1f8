"""Rows go out when they are due, in order, keyed, without their label."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aestream.demo.dataset import Recording
from aestream.demo.feed import Feed
from aestream.demo.stream import Streamer, write
from aestream.errors import TransportError
from aestream.transport.memory import MemoryBroker, MemorySink
from aestream.types import Partition

ROWS = np.arange(5000, dtype=np.float32).reshape(2500, 2)


def feed(rows: np.ndarray = ROWS) -> Feed:
    part = Recording("a", ("cpu", "disk.busy"), rows, rows, np.zeros(len(rows), bool), ())
    return Feed.of("a", {"web-1": part})


def stored(broker: MemoryBroker) -> list[dict[str, Any]]:
    return [json.loads(message.value or b"") for message in broker.log[Partition("input", 0)]]


def test_the_training_part_is_written_whole_and_in_order() -> None:
    broker = MemoryBroker({"input": 1})
    write(MemorySink(broker), "input", feed())
    records = stored(broker)
    times = [record.pop("time") for record in records]
    assert records == [{"cpu": 2.0 * i, "disk.busy": 2.0 * i + 1} for i in range(2500)]
    assert set(np.diff(times)) == {1.0}
    assert {message.key for message in broker.log[Partition("input", 0)]} == {b"web-1"}


def test_the_rate_is_kept_however_often_one_asks() -> None:
    now = [100.0]
    broker = MemoryBroker({"input": 1})
    sent_by = feed()
    streamer = Streamer(MemorySink(broker), "input", sent_by, sent_by.test, rate=50.0, clock=lambda: now[0])
    sent = []
    for now[0] in (100.0, 100.0, 100.01, 100.25, 102.0, 200.0):
        streamer.advance()
        sent.append(streamer.sent)
    assert sent == [1, 1, 1, 13, 101, 1101]  # late, it catches up in chunks
    while not streamer.done:
        streamer.advance()
    streamer.flush()
    assert len(stored(broker)) == 2500


def test_missing_values_are_null() -> None:
    broker = MemoryBroker({"input": 1})
    write(MemorySink(broker), "input", feed(np.array([[np.nan, 1.0]], np.float32)))
    assert [(record["cpu"], record["disk.busy"]) for record in stored(broker)] == [(None, 1.0)]


def test_a_broker_that_does_not_answer_is_an_error() -> None:
    class Stuck(MemorySink):
        def flush(self, timeout: float) -> bool:  # noqa: ARG002
            return False

    with pytest.raises(TransportError, match="does not acknowledge"):
        write(Stuck(MemoryBroker({"input": 1})), "input", feed())
