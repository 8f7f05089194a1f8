"""The sink's end: messages that can no longer be sent do not keep it open, nor do they end in a traceback."""

from __future__ import annotations

import threading

import pytest

from aestream.demo.brokers import EmbeddedKafka
from aestream.errors import TransportError
from aestream.transport.kafka_python import sink
from aestream.types import Outgoing, Partition


def test_it_closes_although_its_broker_is_gone() -> None:
    before = set(threading.enumerate())
    messages = Outgoing("results", [b"x"], [None], [Partition("results", 0)])
    with EmbeddedKafka(start_timeout=20.0) as broker:
        made = sink.KafkaSink(connection={"bootstrap_servers": [broker.bootstrap]}, max_request_size=1_000_000)
        made.send(messages)
        assert made.flush(20.0)
    made.send(messages)
    assert not made.flush(0.5)
    made.close(1.0)
    made.close()
    assert set(threading.enumerate()) <= before


def test_a_next_producer_does_not_wait_as_long_for_its_broker_as_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever sets a long time for the first contact would wait as long without a sign of life in an outage.
    with EmbeddedKafka(start_timeout=20.0) as broker:
        connection = {"bootstrap_servers": [broker.bootstrap], "bootstrap_timeout_ms": 3_600_000}
        made = sink.KafkaSink(connection=connection, max_request_size=1_000_000)
    monkeypatch.setattr(sink, "_ANSWER_TIMEOUT_MS", 500)
    made.close(1.0)
    with pytest.raises(TransportError, match="no answer from Kafka"):
        made._replace()
