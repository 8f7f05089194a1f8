"""kafka-python's producer, which takes one message at a time, with a way to take a column of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition

_FRAMING_BYTES = 128  # more than the client adds to key and value when it looks whether a message is too large


class ColumnProducer(KafkaProducer):  # type: ignore[misc]
    """The client's producer, with `send_column`.

    For every message, `send` copies the names of all topics and the numbers of all partitions, formats the producer's
    name for a log line that is not written, and may wake the thread that sends: a quarter of what a worker costs
    (kafka-python 3.0.12; more with many partitions). None of it differs between the messages of a column.
    """

    def send_column(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        partitions: Sequence[int | None],
    ) -> list[Any]:
        """Send messages of now without headers; return a future of each. Raises what `send` raises."""
        places = {number: TopicPartition(topic, number) for number in set(partitions)}
        if not self._accepts(topic, places.keys(), values, keys):
            columns = zip(values, keys, partitions, strict=True)
            return [self.send(topic, value, key, partition=number) for value, key, number in columns]
        if self._transaction_manager.is_transactional():
            for place in places.values():
                self._transaction_manager.maybe_add_partition_to_transaction(place)
        append = self._accumulator.append
        now, stamp = time.monotonic(), int(time.time() * 1000)
        futures = []
        for value, key, number in zip(values, keys, partitions, strict=True):
            future, _, is_new, _ = append(places[number], stamp, key, value, (), now)
            futures.append(future)
            if is_new:  # a batch; what was full before it can go
                self._sender.wakeup()
        return futures

    def _accepts(
        self,
        topic: str,
        partitions: Collection[int | None],
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
    ) -> bool:
        """Whether `send` would look at each of them in vain; it says what is wrong, and finds what is not known yet."""
        if self._closed or None in partitions or None in values:
            return False
        longest = max(map(len, filter(None, values)), default=0) + max(map(len, filter(None, keys)), default=0)
        known = self._metadata.partitions_for_topic(topic) or ()
        return set(known).issuperset(partitions) and longest + _FRAMING_BYTES <= self.config["max_request_size"]
