"""Writes rows to the input topic: the training part at once, the test part at a given rate."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from aestream.demo.feed import Feed, Rows
from aestream.errors import TransportError
from aestream.transport.base import Sink
from aestream.types import Outgoing, Partition

_CHUNK_ROWS = 1_000
_FLUSH_EVERY_ROWS = 10_000
_FLUSH_SECONDS = 30.0


class Streamer:
    """Sends rows of a feed as JSON objects, keyed by entity, `rate` per second, or without a limit if 0.

    All go to one partition: this keeps the order of time, and offsets count the rows.
    """

    def __init__(
        self,
        sink: Sink,
        topic: str,
        feed: Feed,
        rows: Rows,
        *,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._topic = topic
        self._rows = rows
        self._feed = feed
        self._keys = [entity.encode() for entity in feed.entities]
        self._rate = rate
        self._clock = clock
        self._started: float | None = None
        self._encode = msgspec.json.Encoder().encode
        self.sent = 0

    @property
    def done(self) -> bool:
        """Whether all rows are sent."""
        return self.sent == len(self._rows)

    def advance(self) -> None:
        """Send the rows that are due by now, at most one chunk."""
        if self._started is None:
            self._started = self._clock()
        due = len(self._rows)
        if self._rate > 0:  # the first record is due at once
            due = min(due, int((self._clock() - self._started) * self._rate) + 1)
        stop = min(due, self.sent + _CHUNK_ROWS)
        if stop <= self.sent:
            return
        values = list(map(self._encode, self._feed.records(self._rows, self.sent, stop)))
        keys = list(map(self._keys.__getitem__, self._rows.owner[self.sent : stop].tolist()))
        self._sink.send(Outgoing(self._topic, values, keys, [Partition(self._topic, 0)] * len(values)))
        if self.sent // _FLUSH_EVERY_ROWS != stop // _FLUSH_EVERY_ROWS:
            self.flush()
        self.sent = stop

    def flush(self) -> None:
        """Wait until everything sent is acknowledged. Raises TransportError if that takes too long."""
        if not self._sink.flush(_FLUSH_SECONDS):
            raise TransportError(f"the broker does not acknowledge what was sent to {self._topic}: is it overloaded?")


def write(sink: Sink, topic: str, feed: Feed) -> None:
    """Write the rows to train on to a topic and wait for the acknowledgements."""
    streamer = Streamer(sink, topic, feed, feed.train, rate=0.0)
    while not streamer.done:
        streamer.advance()
    streamer.flush()
