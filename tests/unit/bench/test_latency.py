"""Latencies, from the times at which records are sent and their scores arrive."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from aestream.bench import latency
from aestream.bench.latency import Latency, Reader, Sender
from aestream.messages.scores import Origin, Score
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemorySink, Message
from aestream.types import Outgoing, Partition


def answer(broker: MemoryBroker, stop: threading.Event) -> None:
    """Publish a score for each record, as a worker does."""
    answered = 0
    while not stop.wait(0.001):
        ready = len(broker.log[Partition("in", 0)])
        for offset in range(answered, ready):
            score = Score(0.1, False, 0.1, 1.0, 0.5, "scored", "m@1", Origin("in", 0, offset, 0), None)
            broker.append("out", Message(msgspec.json.encode(score)), 0)
        answered = ready


def test_percentiles_are_of_what_was_answered() -> None:
    sent = {(0, place): float(place) for place in range(101)}
    arrived = {(0, place): place + place / 1000 for place in range(101)} | {(1, 7): 0.0}
    found = Latency.of(50.0, sent, arrived)
    assert found is not None
    assert (found.rate, found.records) == (50.0, 101)
    assert (found.p50, found.p99) == pytest.approx((0.05, 0.099))
    assert Latency.of(50.0, sent, {}) is None


def test_each_record_is_matched_with_its_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "CALM_RATE", 500.0)
    monkeypatch.setattr(latency, "LONE_RATE", 100.0)
    broker = MemoryBroker({"in": 1, "out": 1})
    part = Partition("in", 0)
    broker.append("in", Message(b"old"), 0)
    records = [Outgoing("in", [b"%d" % number], [b"k"], [part], timestamps=[1]) for number in range(7)]
    reader, stop = Reader(MemoryHistory(broker, ["out"])), threading.Event()
    worker = threading.Thread(target=answer, args=(broker, stop), daemon=True)
    reader.start()
    worker.start()
    sent = 0

    def progress() -> None:
        nonlocal sent
        sent += 1

    began = time.monotonic()
    calm, lone = latency.measure(Sender(MemorySink(broker), records, {part: 1}), reader, progress)
    stop.set()
    reader.close()
    assert calm is not None
    assert lone is not None
    assert (calm.records, lone.records, sent) == (300, 12, 312)
    assert 0 <= calm.p50 <= calm.p99 < time.monotonic() - began
    assert [message.value for message in broker.log[part]][1:9] == [b"%d" % (number % 7) for number in range(8)]
