"""What kafka-python raises, in words for people."""

from __future__ import annotations

import pytest
from kafka import errors as kafka_errors

from aestream.transport.kafka_python.errors import said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (kafka_errors.KafkaTimeoutError(None), "KafkaTimeoutError"),
        (kafka_errors.KafkaTimeoutError("slow", ""), "KafkaTimeoutError: slow"),
        (kafka_errors.KafkaTimeoutError("KafkaTimeoutError: slow"), "KafkaTimeoutError: slow"),
        # an error within another one, which cannot be hashed
        (kafka_errors.KafkaError("over", kafka_errors.ProducerFencedError("x")), "KafkaError: over "),
    ],
)
def test_an_error_is_its_class_and_its_words(error: Exception, words: str) -> None:
    assert said(error).startswith(words)
    assert "\n" not in said(error)
