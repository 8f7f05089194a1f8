"""The sink's end: messages that can no longer be sent do not keep it open, nor do they end in a traceback."""

from __future__ import annotations

import threading

import pytest

from aestream.demo.brokers import EmbeddedKafka
from aestream.transport.kafka_python import sink
from aestream.types import Outgoing, Partition


def test_it_closes_although_its_broker_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "_CLOSE_TIMEOUT_SECONDS", 1.0)
    before = set(threading.enumerate())
    messages = Outgoing("results", [b"x"], [None], [Partition("results", 0)])
    with EmbeddedKafka(start_timeout=20.0) as broker:
        made = sink.KafkaSink(connection={"bootstrap_servers": [broker.bootstrap]}, max_request_size=1_000_000)
        made.send(messages)
        assert made.flush(20.0)
    made.send(messages)
    assert not made.flush(0.5)
    made.close()
    made.close()
    assert set(threading.enumerate()) <= before
