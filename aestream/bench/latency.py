"""How long a record takes at a calm rate: from the moment it is sent until a reader has its score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from aestream.app.follower import Follower
from aestream.errors import TransportError
from aestream.messages.scores import Score
from aestream.transport.base import History, Sink
from aestream.types import Batch, Outgoing, Partition

CALM_RATE, CALM_RECORDS = 50.0, 300
LONE_RATE, LONE_RECORDS = 2.0, 12
_ANSWER_SECONDS = 10.0
_TICK_SECONDS = 0.01

_Place = tuple[int, int]  # partition, offset


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds until the scores of so many records, sent at so many a second."""

    rate: float
    records: int
    p50: float
    p99: float

    @classmethod
    def of(cls, rate: float, sent: Mapping[_Place, float], arrived: Mapping[_Place, float]) -> Latency | None:
        """From the times at which records were sent, and at which their scores arrived; None if none arrived."""
        seconds = [arrived[place] - at for place, at in sent.items() if place in arrived]
        return cls(rate, len(seconds), *np.percentile(seconds, (50, 99)).tolist()) if seconds else None


class Reader:
    """Reads a topic of scores, and notes when each arrived by the record that it is about."""

    def __init__(self, history: History) -> None:
        self.arrived: dict[_Place, float] = {}
        self._decode = msgspec.json.Decoder(Score).decode
        self._follower = Follower(lambda: self._noted(history.follow(last=0)))

    def start(self) -> None:
        """Begin, on another thread. Raises TransportError when the topic cannot be read."""
        self._follower.start()
        self._follower.wait_until_reading()
        self.check()

    def check(self) -> None:
        """Raise the error that ended the reading, if any."""
        for _ in self._follower.take():
            pass

    def close(self) -> None:
        """Stop reading."""
        self._follower.close()

    def _noted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            now = time.perf_counter()
            for value in batch.values:
                with suppress(msgspec.MsgspecError):
                    source = self._decode(value or b"").source
                    self.arrived[source.partition, source.offset] = now
            yield batch


class Sender:
    """Sends records one by one, each to the partition that it names, and notes when by the place that it will have.

    `ends` are the ends of all partitions: nobody else writes there.
    """

    def __init__(self, sink: Sink, records: Sequence[Outgoing], ends: Mapping[Partition, int]) -> None:
        self._sink = sink
        self._records = records
        self._ends = dict(ends)
        self._count = 0

    def send(self, count: int, rate: float, progress: Callable[[], None]) -> dict[_Place, float]:
        """Send so many records at so many a second; return when each was sent. Raises TransportError."""
        sent: dict[_Place, float] = {}
        began = time.perf_counter()
        for number in range(count):
            time.sleep(max(began + number / rate - time.perf_counter(), 0.0))
            record = replace(self._records[self._count % len(self._records)], timestamps=())
            (part,) = record.sources
            place, self._ends[part] = (part.partition, self._ends[part]), self._ends[part] + 1
            self._count += 1
            sent[place] = time.perf_counter()
            self._sink.send(record)
            if not self._sink.flush(_ANSWER_SECONDS):
                raise TransportError(f"the broker has not accepted a record in {_ANSWER_SECONDS:.0f} s")
            progress()
        return sent


def measure(sender: Sender, reader: Reader, progress: Callable[[], None]) -> tuple[Latency | None, Latency | None]:
    """At a calm rate, and of records that come alone."""
    calm = sender.send(CALM_RECORDS, CALM_RATE, progress)
    lone = sender.send(LONE_RECORDS, LONE_RATE, progress)
    deadline = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < deadline and not (calm.keys() | lone.keys()) <= reader.arrived.keys():
        reader.check()
        time.sleep(_TICK_SECONDS)
    return Latency.of(CALM_RATE, calm, reader.arrived), Latency.of(LONE_RATE, lone, reader.arrived)
