"""A stream of records at a steady rate: most of them normal, some anomalies, some that nobody can read."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from functools import cache

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.kafka import records

KEYS = [b"k%d" % number for number in range(17)]
_TICK_SECONDS = 0.05
_NEVER_MS = 2**31 - 1


@cache
def values() -> list[bytes]:
    """A thousand of them, to be sent again and again."""
    found = records.values(1000)
    found[::53] = [records.anomaly(seed) for seed in range(len(found[::53]))]
    found[::97] = [b"{"] * len(found[::97])
    return found


class Feed:
    """Sends `rate` records a second, from a thread of its own, whenever it is not paused."""

    def __init__(self, bootstrap: str, topic: str, rate: float) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._share = max(round(rate * _TICK_SECONDS), 1)
        self._pairs: Iterator[tuple[bytes, bytes]] = zip(itertools.cycle(values()), itertools.cycle(KEYS), strict=False)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failed: Exception | None = None

    @property
    def running(self) -> bool:
        """Whether records flow."""
        return self._thread is not None

    def start(self) -> None:
        """Begin, or go on. A new producer knows a topic as it is now."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop, once everything sent is stored. Raises what went wrong meanwhile."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(120)
            self._thread = None
        if self.failed is not None:
            raise self.failed

    def send(self, count: int) -> None:
        """So many records at once, as fast as they go. Not while the thread runs."""
        self._producing(lambda producer: self._hand(producer, count))

    def _run(self) -> None:
        def steadily(producer: KafkaProducer) -> None:
            while not self._stop.wait(_TICK_SECONDS):
                self._hand(producer, self._share)

        try:
            self._producing(steadily)
        except KafkaError as error:
            self.failed = error

    def _hand(self, producer: KafkaProducer, count: int) -> None:
        for value, key in itertools.islice(self._pairs, count):
            producer.send(self._topic, value, key)

    def _producing(self, work: object) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._bootstrap,
            delivery_timeout_ms=_NEVER_MS,  # it waits out whatever happens to the broker
            max_block_ms=300_000,
            metadata_max_age_ms=1000,  # sees new partitions at once
            batch_size=131_072,
            linger_ms=5,
        )
        try:
            work(producer)  # type: ignore[operator]
            producer.flush(timeout=300)
        finally:
            producer.close(timeout=5)
