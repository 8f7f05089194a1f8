"""kafka-python's records as columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import TopicPartition

from aestream.types import Batch, Partition, Span

Polled = Mapping[TopicPartition, Sequence[Any]]  # what the client returns: records by partition


def columns(parts: Sequence[Polled]) -> Batch:
    """Transpose consumer records into the columns of a batch, partition after partition."""
    records: dict[TopicPartition, list[Any]] = {}
    for part in parts:
        for key, found in part.items():
            records.setdefault(key, []).extend(found)
    if not records:
        return Batch()
    stops = list(itertools.accumulate(map(len, records.values())))
    spans = [
        Span(Partition(*key), stop - len(found), stop)
        for (key, found), stop in zip(records.items(), stops, strict=True)
    ]
    columns = tuple(zip(*itertools.chain.from_iterable(records.values()), strict=True))
    # ConsumerRecord: topic, partition, leader_epoch, offset, timestamp, timestamp_type, key, value, headers, ...
    return Batch(spans, columns[3], columns[4], columns[6], columns[7], columns[8])
