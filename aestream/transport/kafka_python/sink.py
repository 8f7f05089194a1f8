"""Sink over kafka-python 3: the output topics."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from aestream.errors import DeliveryError, TransportError
from aestream.transport.kafka_python.errors import Connection, broker_errors
from aestream.types import Outgoing

_ANSWER_TIMEOUT_MS = 10_000  # how long a topic that is not known is asked for
_CLOSE_TIMEOUT_SECONDS = 10.0
# The producer goes on trying for as long as the worker lives: an outage of the broker is waited out, not failed.
_NEVER_MS = 2**31 - 1


class KafkaSink:
    """The output topics through an idempotent producer with acks=all.

    `connection` and `producer` hold settings of KafkaProducer under its own names.
    """

    def __init__(self, *, connection: Connection, max_request_size: int, **producer: Any) -> None:
        self._connection = connection
        self._futures: list[Any] = []
        self.max_bytes = max_request_size
        with broker_errors(connection):
            self._producer = KafkaProducer(
                **connection,
                acks="all",
                enable_idempotence=True,
                max_request_size=max_request_size,
                delivery_timeout_ms=_NEVER_MS,
                max_block_ms=_ANSWER_TIMEOUT_MS,
                allow_auto_create_topics=False,
                **producer,
            )

    def send(self, messages: Outgoing) -> None:
        """Hand the messages to the producer. Raises DeliveryError for a topic or a message that it refuses."""
        send = self._producer.send
        headers: Iterable[Any] = messages.headers or itertools.repeat(None)
        columns = zip(messages.values, messages.keys, headers, messages.partitions, strict=False)
        try:
            self._futures += [
                send(messages.topic, value, key, list(header) if header else None, partition)
                for value, key, header, partition in columns
            ]
        except kafka_errors.MessageSizeTooLargeError as error:
            raise DeliveryError(f"a message for {messages.topic} is too large: {error}") from error
        except kafka_errors.KafkaTimeoutError as error:
            raise DeliveryError(_no_topic(messages.topic, error)) from error
        except (kafka_errors.KafkaError, AssertionError, ValueError) as error:
            raise DeliveryError(f"topic {messages.topic} refuses a message: {error}") from error

    def flush(self, timeout: float) -> bool:
        """Wait for the acknowledgements of everything sent. False: not all are there yet, ask again."""
        try:
            self._producer.flush(timeout=timeout)
        except (kafka_errors.KafkaTimeoutError, kafka_errors.UnknownError):
            return False  # UnknownError: the client split a batch that was too large and goes on with the halves
        if not all(future.is_done for future in self._futures):
            return False
        futures, self._futures = self._futures, []
        failed = next((future.exception for future in futures if future.exception is not None), None)
        if failed is not None:
            raise DeliveryError(f"a result was not accepted: {type(failed).__name__}: {failed}") from failed
        return True

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Asks the broker the first time only.

        Raises TransportError for a topic that is not there.
        """
        with broker_errors(self._connection):
            try:
                return len(self._producer.partitions_for(topic))
            except kafka_errors.KafkaTimeoutError as error:
                raise TransportError(_no_topic(topic, error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._producer.close(timeout=_CLOSE_TIMEOUT_SECONDS)


def _no_topic(topic: str, error: Exception) -> str:
    return f"topic {topic} cannot be written: does it exist? `aestream topics create` makes it ({error})"
