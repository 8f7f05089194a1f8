"""Sink over kafka-python 3: the output topics."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kafka import errors as kafka_errors

from aestream.errors import DeliveryError, TooLargeError, TransportError
from aestream.transport.base import CLOSE_SECONDS
from aestream.transport.kafka_python.errors import broker_errors, denied, said
from aestream.transport.kafka_python.producer import ColumnProducer
from aestream.transport.size import lower_limit, message_bytes
from aestream.transport.wording import (
    Connection,
    no_topic,
    not_accepted,
    too_large,
    too_large_for_any,
    too_large_for_one,
)
from aestream.types import Outgoing

_ANSWER_TIMEOUT_MS = 10_000  # how long an unknown topic is looked up
_JOIN_SECONDS = 2.0
# The producer retries for as long as the worker lives: it waits out an outage of the broker.
_NEVER_MS = 2**31 - 1
_REQUEST_MS = 30_000  # the client's own default
TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)


class KafkaSink:
    """The output topics through an idempotent producer with acks=all.

    `connection` and `producer` hold settings of KafkaProducer under its own names. `limits` are the largest messages
    that topics accept, where these are known; a message that a topic refuses lowers its limit. A message that is not
    acknowledged within `patience` seconds after its request has timed out is refused; None: it is sent again and again.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        max_request_size: int,
        limits: Mapping[str, int] | None = None,
        batch_size: int = 16_384,
        patience: float | None = None,
        **producer: Any,
    ) -> None:
        self._connection = connection
        self._max_request_size = max_request_size
        self._limits = dict(limits or {})
        self._batch_size = batch_size
        # the client gives up a message only once it would have given up a request
        request_ms = connection.get("request_timeout_ms", _REQUEST_MS) + producer.get("linger_ms", 0)
        self._delivery_ms = _NEVER_MS if patience is None else request_ms + int(patience * 1000)
        self._settings = producer
        self._sent: list[tuple[Outgoing, list[Any]]] = []
        self._producer = self._opened()

    def max_bytes(self, topic: str) -> int:
        """The smaller one of what the client sends and what the topic accepts, where that is known."""
        return min(self._max_request_size, self._limits.get(topic, self._max_request_size))

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Hand the messages to the producer. Raises DeliveryError for a topic or a message that it refuses."""
        try:
            futures = self._hand_over(messages, messages.partitions(keep))
        except kafka_errors.MessageSizeTooLargeError as error:
            raise DeliveryError(f"a message for {messages.topic} is too large: {said(error)}") from error
        except kafka_errors.KafkaTimeoutError as error:
            raise DeliveryError(no_topic(messages.topic, said(error))) from error
        except (kafka_errors.KafkaError, AssertionError, ValueError) as error:
            raise DeliveryError(f"topic {messages.topic} refuses a message: {said(error)}") from error
        self._sent.append((messages, futures))

    def _hand_over(self, messages: Outgoing, partitions: Sequence[int | None]) -> list[Any]:
        """Send them; return their futures. Raises what the client raises."""
        if not messages.headers and not messages.timestamps:
            futures: list[Any] = self._producer.send_column(messages.topic, messages.values, messages.keys, partitions)
            return futures
        headers: Iterable[Any] = messages.headers or itertools.repeat(None)
        stamps: Iterable[int | None] = messages.timestamps or itertools.repeat(None)
        columns = zip(messages.values, messages.keys, headers, partitions, stamps, strict=False)
        return [
            self._producer.send(messages.topic, value, key, list(header) if header else None, partition, stamp)
            for value, key, header, partition, stamp in columns
        ]

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent is acknowledged. False: some acknowledgements are missing, call again."""
        try:
            self._producer.flush(timeout=timeout)
        except (kafka_errors.KafkaTimeoutError, kafka_errors.UnknownError):
            return False  # UnknownError: the client has split a batch that was too large, and continues with the halves
        if not all(future.is_done for _, futures in self._sent for future in futures):
            return False
        sent, self._sent = self._sent, []
        refused = [
            (messages, place, future.exception)
            for messages, futures in sent
            for place, future in enumerate(futures)
            if future.exception is not None
        ]
        if refused:
            raise self._refusal(refused)
        return True

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Asks the broker the first time only.

        Raises TransportError for a topic that does not exist.
        """
        with broker_errors(self._connection):
            try:
                return len(self._producer.partitions_for(topic))
            except kafka_errors.KafkaTimeoutError as error:
                raise TransportError(no_topic(topic, said(error))) from error

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Close the connections."""
        try:
            self._producer.close(timeout=timeout)
        except kafka_errors.KafkaError:  # raised before anything is closed, if messages cannot be sent in time
            self._give_up()

    def _give_up(self) -> None:
        """Close the connections without sending what waits."""
        self._producer._sender.force_close()  # noqa: SLF001 - the client offers no other way
        self._producer._sender.join(_JOIN_SECONDS)  # noqa: SLF001
        with contextlib.suppress(kafka_errors.KafkaError):
            self._producer.close(timeout=0)

    def _renew(self) -> None:
        """Go on with another producer: one that was refused a message may refuse the next ones."""
        self.close()
        self._replace()

    def _replace(self) -> None:
        """Open another producer in place of one that is closed. Who waits for a broker that is away asks again."""
        timeout = min(self._connection.get("bootstrap_timeout_ms", _ANSWER_TIMEOUT_MS), _ANSWER_TIMEOUT_MS)
        self._connection = {**self._connection, "bootstrap_timeout_ms": timeout}
        self._producer = self._opened()

    def _opened(self) -> Any:
        with broker_errors(self._connection):
            return ColumnProducer(
                **self._connection,
                acks="all",
                enable_idempotence=True,
                max_request_size=self._max_request_size,
                # a topic refuses a batch that is too large for it, as it refuses a message
                batch_size=min([self._batch_size, *self._limits.values()]),
                delivery_timeout_ms=self._delivery_ms,
                max_block_ms=_ANSWER_TIMEOUT_MS,
                allow_auto_create_topics=False,
                **self._settings,
            )

    def _refusal(self, refused: Sequence[tuple[Outgoing, int, Exception]]) -> TransportError:
        """The error for messages that were refused.

        The first message that is too large makes all others of the producer fail with the same error. So the topic
        that refused is known only if all are for one topic; its limit is then below the largest of them.
        """
        messages, _, error = refused[0]
        if not isinstance(error, TOO_LARGE):
            why = denied(error) if isinstance(error, kafka_errors.AuthorizationError) else said(error)
            return DeliveryError(not_accepted(messages.topic, why))
        self._renew()
        topics = {messages.topic for messages, _, _ in refused}
        if len(topics) > 1:
            return TooLargeError(too_large_for_one(topics))
        size = max(_bytes(messages, place) for messages, place, _ in refused)
        limit = lower_limit(size, self.max_bytes(messages.topic))
        if limit is None:
            return DeliveryError(too_large_for_any(messages.topic, size))
        self._limits[messages.topic] = limit
        return TooLargeError(too_large(messages.topic, size))


def _bytes(messages: Outgoing, place: int) -> int:
    headers = messages.headers[place] if messages.headers else ()
    return message_bytes(messages.values[place], messages.keys[place], headers)
