"""The newest records of the input: to be sent again, to be scored here, and to tell how fast records arrive."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aestream.errors import DataError
from aestream.transport import clocks
from aestream.types import Batch, Outgoing, Partition, Span

_Row = tuple[Any, ...]  # offset, timestamp, key, value, headers


@dataclass(frozen=True, slots=True)
class Sample:
    """Records of the input as one batch, and how the input's partitions share them: the largest share of one."""

    batch: Batch

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def bytes(self) -> int:
        """The size of all values."""
        return sum(len(value) for value in self.batch.values if value is not None)

    @property
    def busiest(self) -> tuple[Partition, float]:
        """The partition with most of the records, and its share of them."""
        span = max(self.batch.spans, key=lambda span: span.stop - span.start)
        return span.partition, (span.stop - span.start) / len(self)

    def chunks(self, size: int) -> Iterator[Batch]:
        """Yield the records in batches of at most `size`."""
        whole = self.batch
        for start in range(0, len(whole), size):
            stop = min(start + size, len(whole))
            spans = [
                Span(part, max(first, start) - start, min(last, stop) - start)
                for part, first, last in whole.spans
                if first < stop and last > start
            ]
            yield Batch(
                spans,
                whole.offsets[start:stop],
                whole.timestamps[start:stop],
                whole.keys[start:stop],
                whole.values[start:stop],
                whole.headers[start:stop],
            )

    def copies(self, topic: str, partitions: int, count: int, *, size: int) -> Iterator[Outgoing]:
        """Yield messages for a topic, `count` in all: the sample in the order of time, over and over if it is short.

        All records of one partition stay together in one of the `partitions`. The last time around has the timestamps
        of the records, and those before it lie as far back as they have to, so that time never turns back. What lies
        in the future is of now.
        """
        order, stamps = self._in_time()
        rounds = -(-count // len(self))
        length = int(stamps.max() - stamps.min()) + 1 if len(stamps) else 1
        target = {part: Partition(topic, place % partitions) for place, part in enumerate(self._partitions())}
        sources = self.batch.sources
        for at in range(rounds):
            back = (rounds - 1 - at) * length
            for start in range(0, min(len(self), count - at * len(self)), size):
                rows = order[start : min(start + size, count - at * len(self))]
                yield Outgoing(
                    topic,
                    [self.batch.values[row] for row in rows],
                    [self.batch.keys[row] for row in rows],
                    [target[sources[row]] for row in rows],
                    [self.batch.headers[row] for row in rows],
                    timestamps=[max(int(stamps[row]) - back, 0) for row in rows],
                )

    def _partitions(self) -> Sequence[Partition]:
        return [span.partition for span in self.batch.spans]

    def _in_time(self) -> tuple[list[int], np.ndarray]:
        """The rows as they were recorded, those of a partition in their order; and times in milliseconds (n,)."""
        now = int(time.time() * 1000)
        raw, _ = clocks.milliseconds(np.asarray(self.batch.timestamps, np.int64), now=now)
        stamps = np.clip(raw, 0, now)
        rising = np.concatenate([np.maximum.accumulate(stamps[start:stop]) for _, start, stop in self.batch.spans])
        return np.argsort(rising, kind="stable").tolist(), stamps


def gather(batches: Iterable[Batch], *, max_bytes: int, seconds: float, clock: Iterator[float] | None = None) -> Sample:
    """Keep records, up to so many bytes and for so many seconds. Raises DataError when there is none.

    `clock` yields the time in seconds.
    """
    ticks = clock or iter(time.monotonic, None)
    rows: dict[Partition, list[_Row]] = {}
    size, deadline = 0, next(ticks) + seconds
    for batch in batches:
        columns = (batch.offsets, batch.timestamps, batch.keys, batch.values, batch.headers or [()] * len(batch))
        for part, start, stop in batch.spans:
            rows.setdefault(part, []).extend(zip(*(column[start:stop] for column in columns), strict=True))
        size += sum(len(value) for value in batch.values if value is not None)
        if size >= max_bytes or next(ticks) >= deadline:
            break
    if not any(rows.values()):
        raise DataError("the input holds no records to measure with")
    spans: list[Span] = []
    for part in sorted(rows):
        rows[part].sort(key=lambda row: row[0])
        start = spans[-1].stop if spans else 0
        spans.append(Span(part, start, start + len(rows[part])))
    ordered = [row for part in sorted(rows) for row in rows[part]]
    offsets, stamps, keys, values, headers = ([row[place] for row in ordered] for place in range(5))
    return Sample(Batch(spans, offsets, stamps, keys, values, headers))
