"""kafka-python's records as columns, and the topics that a pattern matches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka import TopicPartition

from aestream.types import Batch, Partition, Span


def columns(parts: Sequence[Mapping[TopicPartition, Sequence[Any]]]) -> Batch:
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


def matching(topics: Sequence[str], names: Iterable[str]) -> list[str]:
    """The topics themselves, or, for a pattern, the names that it matches."""
    if not topics[0].startswith("^"):
        return list(topics)
    return sorted(name for name in names if re.match(topics[0], name) and not name.startswith("__"))
