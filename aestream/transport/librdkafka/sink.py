"""Sink over librdkafka: the output topics."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from aestream.errors import DeliveryError, TooLargeError, TransportError
from aestream.transport import wording
from aestream.transport.base import CLOSE_SECONDS
from aestream.transport.librdkafka import options
from aestream.transport.librdkafka.errors import DENIED, broker_errors, said
from aestream.transport.librdkafka.waiting import Call
from aestream.transport.size import lower_limit, message_bytes
from aestream.transport.wording import Connection, access_denied, no_topic, not_accepted
from aestream.types import Outgoing

_CONTACT_MS = 30_000  # the default of `bootstrap_timeout_ms`
_ANSWER_SECONDS = 10.0  # how long an unknown topic is looked up
_LOOK_SECONDS = 1.0  # how long a known one is
_COUNTED_SECONDS = 300.0  # how old a number of partitions may be; kafka-python's is no newer
_LEAVE_SECONDS = 1.0
_REOPEN_SECONDS = 10.0  # who waits for a broker that is away asks again
_REQUEST_MS = 30_000  # the default of `request_timeout_ms`
_NO_PARTITION = -1  # its key chooses
_NOW = 0
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class ConfluentSink:
    """The output topics through an idempotent producer with acks=all.

    `connection` and `producer` hold settings under aestream's names. `limits` are the largest messages that topics
    accept, where these are known; a message that a topic refuses lowers its limit. A message that is not acknowledged
    within `patience` seconds after its request has timed out is refused; None: it is sent again and again.
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
        request_ms = connection.get("request_timeout_ms", _REQUEST_MS) + producer.get("linger_ms", 0)
        self._delivery_ms = 0 if patience is None else request_ms + int(patience * 1000)  # 0: no limit
        self._settings = producer
        self._counts: dict[str, int] = {}
        self._counted: dict[str, float] = {}  # when the broker was asked
        self._refused: list[tuple[Message, KafkaError]] = []
        self._closed = False
        self._producer = self._opened(connection.get("bootstrap_timeout_ms", _CONTACT_MS) / 1000)

    def max_bytes(self, topic: str) -> int:
        """The smaller one of what the client sends and what the topic accepts, where that is known."""
        return min(self._max_request_size, self._limits.get(topic, self._max_request_size))

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Hand the messages to the producer. Raises DeliveryError for a topic or a message that it refuses.

        No Python runs for a message: librdkafka reports those alone that were not delivered.
        """
        partitions = [_NO_PARTITION if part is None else part for part in messages.partitions(keep)]
        columns: list[Iterable[Any]] = [itertools.repeat(messages.topic), messages.values, messages.keys, partitions]
        if messages.timestamps or messages.headers:
            stamps = [stamp or _NOW for stamp in messages.timestamps or itertools.repeat(None, len(messages))]
            columns += [itertools.repeat(None), itertools.repeat(None), stamps]  # two names of a callback come first
        if messages.headers:
            columns.append(map(list, messages.headers))
        try:
            deque(map(self._producer.produce, *columns), maxlen=0)
        except KafkaException as error:
            raise self._not_taken(messages.topic, error.args[0]) from error

    def flush(self, timeout: float) -> bool:
        """Wait until everything sent is acknowledged. False: some acknowledgements are missing, call again."""
        with self._alive():
            if self._producer.flush(timeout):
                return False
        refused = self._take_refused()
        if not refused:
            return True
        large = [message for message, error in refused if error.code() in TOO_LARGE]
        if len(large) < len(refused) or not self._smaller_batches(large):
            raise self._refusal(refused)
        self._replace()
        self._send_again(large)
        return False

    def _send_again(self, messages: Sequence[Message]) -> None:
        """Send what was refused only for the company it was in; it may come after what was sent later."""
        for one in messages:
            columns = (one.value(), one.key(), one.partition(), None, None, one.timestamp()[1], one.headers())
            self._producer.produce(one.topic(), *columns)

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic. Asks the broker the first time, and now and then: some may be added.

        Raises TransportError for a topic that does not exist.
        """
        now = time.monotonic()
        if topic not in self._counts:
            self._counts[topic] = self._partitions(topic, _ANSWER_SECONDS)
            self._counted[topic] = now
        elif now - self._counted[topic] > _COUNTED_SECONDS:
            self._counted[topic] = now
            with contextlib.suppress(TransportError):  # another time
                self._counts[topic] = self._partitions(topic, _LOOK_SECONDS)
        return self._counts[topic]

    def _partitions(self, topic: str, timeout: float) -> int:
        with broker_errors(self._connection):
            told = self._producer.list_topics(topic, timeout=timeout).topics[topic]
        if told.error is not None or not told.partitions:
            raise TransportError(no_topic(topic, said(told.error) if told.error else "it has no partitions"))
        return len(told.partitions)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Close the connections."""
        if not self._closed:
            self._closed = True
            until = time.monotonic() + timeout
            with contextlib.suppress(KafkaException):  # it had ended before
                self._producer.flush(timeout)
            self._give_up(self._producer, until - time.monotonic())

    def _give_up(self, producer: Producer, timeout: float = _LEAVE_SECONDS) -> None:
        """Close the connections without sending what waits; what takes longer goes on by itself."""
        with contextlib.suppress(KafkaException):
            producer.purge()
        Call(producer.close).over(max(timeout, _LEAVE_SECONDS))

    def _replace(self) -> None:
        """Go on with another producer; with the same one if that finds no broker, which raises as `_opened` does."""
        former, self._producer = self._producer, self._opened(_REOPEN_SECONDS)
        self._give_up(former)

    def _opened(self, timeout: float) -> Producer:
        """A producer that a broker has answered, in so many seconds. What it could not deliver begins anew."""
        refused: list[tuple[Message, KafkaError]] = []
        with broker_errors(self._connection):
            producer = Producer(
                {
                    **options.writing(
                        self._connection,
                        max_request_size=self._max_request_size,
                        # a topic refuses a batch that is too large for it, as it refuses a message
                        batch_size=min([self._batch_size, *self._limits.values()]),
                        **self._settings,
                    ),
                    **self._delivery(),
                    "on_delivery": partial(_hear, refused),
                }
            )
            self._begin(producer, timeout)
        self._refused = refused
        return producer

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Turn what ends the producer into the error for results that were not acknowledged."""
        try:
            yield
        except KafkaException as error:
            raise DeliveryError(f"the results were not acknowledged: {said(error.args[0])}") from error

    def _delivery(self) -> Mapping[str, Any]:
        return {"delivery.timeout.ms": self._delivery_ms}

    def _begin(self, producer: Producer, timeout: float) -> None:
        """Make sure that a broker answers. Raises what the client raises."""
        producer.list_topics(timeout=timeout)

    def _take_refused(self) -> list[tuple[Message, KafkaError]]:
        """The messages that were refused since the last call, and why."""
        refused = self._refused.copy()
        self._refused.clear()
        return refused

    def _not_taken(self, topic: str, error: KafkaError) -> TransportError:
        """The error for a message that the client itself refuses."""
        if error.code() in TOO_LARGE:
            return DeliveryError(f"a message for {topic} is too large: {said(error)}")
        return DeliveryError(f"topic {topic} refuses a message: {said(error)}")

    def _refusal(self, refused: Sequence[tuple[Message, KafkaError]]) -> TransportError:
        """The error for messages that were refused."""
        large = [message for message, error in refused if error.code() in TOO_LARGE]
        if large:
            return self._too_large(large)
        message, error = refused[0]
        topic = message.topic()
        if error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}:
            return DeliveryError(no_topic(topic, said(error)))
        denied = error.code() in DENIED
        return DeliveryError(not_accepted(topic, access_denied(DENIED[error.code()], topic) if denied else said(error)))

    def _too_large(self, messages: Sequence[Message]) -> TransportError:
        """The error for messages that their topics refuse although each is alone in its batch."""
        topics = {message.topic() for message in messages}
        if len(topics) > 1:
            return TooLargeError(wording.too_large_for_one(topics))
        (topic,) = topics
        largest = max(map(_bytes, messages))
        limit = lower_limit(largest, self.max_bytes(topic))
        if limit is None:
            return DeliveryError(wording.too_large_for_any(topic, largest))
        self._limits[topic] = limit
        return TooLargeError(wording.too_large(topic, largest))

    def _smaller_batches(self, messages: Sequence[Message]) -> bool:
        """Send smaller batches from now on, if one of several messages may be what was refused.

        librdkafka does not split a batch that is too large for its topic. False: each of them was alone.
        """
        sizes = list(map(_bytes, messages))
        batch_size = min(self._batch_size, sum(sizes), *self._limits.values())
        if batch_size <= max(sizes):
            return False
        self._batch_size = batch_size // 2
        return True


def _hear(refused: list[tuple[Message, KafkaError]], error: KafkaError | None, message: Message) -> None:
    if error is not None:
        refused.append((message, error))


def _bytes(message: Message) -> int:
    return message_bytes(message.value(), message.key(), message.headers() or ())
