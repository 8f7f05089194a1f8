"""librdkafka's messages as columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import overload

from confluent_kafka import Message

from aestream.types import Batch, Headers, Partition, Span


def columns(messages: list[Message], *, one_topic: bool) -> Batch:
    """Sort messages by partition, in place, and transpose them into the columns of a batch.

    Each column is one pass in C. With `one_topic`, all are of the same.
    """
    if not messages:
        return Batch()
    messages.sort(key=Message.partition)
    if not one_topic:
        messages.sort(key=Message.topic)
    owners = list(map(Message.partition, messages))
    if one_topic and owners[0] == owners[-1]:
        runs = [(messages[0].topic(), owners[0], len(owners))]
    else:
        topics = itertools.repeat(messages[0].topic()) if one_topic else map(Message.topic, messages)
        runs = [(*part, sum(1 for _ in some)) for part, some in itertools.groupby(zip(topics, owners, strict=False))]
    stops = list(itertools.accumulate(count for *_, count in runs))
    spans = [
        Span(Partition(topic, number), stop - count, stop)
        for (topic, number, count), stop in zip(runs, stops, strict=True)
    ]
    return Batch(
        spans,
        list(map(Message.offset, messages)),
        [stamp for _, stamp in map(Message.timestamp, messages)],
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
        _HeadersOf(messages),
    )


class _HeadersOf(Sequence[Headers]):
    """The headers of messages, read when they are asked for: of most records, nobody does."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, place: int) -> Headers: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Headers]: ...
    def __getitem__(self, place: int | slice) -> Headers | Sequence[Headers]:
        if isinstance(place, slice):
            return _HeadersOf(self._messages[place])
        return self._messages[place].headers() or ()
