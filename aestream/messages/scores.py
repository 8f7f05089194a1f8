"""Verdicts to messages: the JSON of scores and anomalies, and their CloudEvents headers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aestream.columns import Value
from aestream.messages.cloudevents import event
from aestream.types import Batch, Headers, Outgoing, Partition

EVENT_TYPE = "io.aestream.score.v1"
_KEY_CHARACTERS = 1024  # a longer key is cut in the JSON; the message's own key stays whole

_TRACE_BYTES = 512  # W3C's have 55: a longer one is none

SamePartitions = Callable[[str, str], bool]


class Origin(msgspec.Struct, gc=False):
    """Where a record came from. `timestamp` is in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class FeatureShare(msgspec.Struct, gc=False):
    """One feature's part in an anomaly, in the user's units; shares of all features add up to 1.

    A category is its name, a timestamp ISO 8601 text, a value that was missing null.
    """

    name: str
    observed: Value
    expected: Value
    share: float


class Score(msgspec.Struct, omit_defaults=True, gc=False):
    """One record's score, as published. docs/score.schema.json describes it."""

    score: float
    anomaly: bool
    error: float
    threshold: float
    p_value: float
    status: str
    model: str
    source: Origin
    key: str | None
    features: list[FeatureShare] | None = None
    latent: list[float] | None = None
    reconstruction: dict[str, Value] | None = None


class Scored(msgspec.Struct, frozen=True):
    """What the detector found for the valid rows of a batch: columns, and the explained rows.

    `rows` are places in the batch; `features[i]` belongs to `rows[flagged[i]]`. `unseen` counts the values of each
    categorical feature that training has not seen.
    """

    rows: NDArray[np.intp]
    score: NDArray[np.float64]
    error: NDArray[np.float64]
    p_value: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    flagged: NDArray[np.intp]
    features: Sequence[list[FeatureShare]]
    latent: NDArray[np.float64] | None
    reconstruction: Sequence[Sequence[Value]] | None
    unseen: Mapping[str, int] = {}


class Renderer:
    """Turns a scored batch into messages for the scores and the anomalies topic.

    `scores_topic` of None publishes anomalies only. `headers` puts the CloudEvents headers on plain scores as well.
    """

    def __init__(
        self,
        *,
        model: str,
        threshold: float,
        names: Sequence[str],
        scores_topic: str | None,
        anomalies_topic: str,
        headers: bool = False,
    ) -> None:
        self._model = model
        self._threshold = threshold
        self._names = tuple(names)
        self._scores_topic = scores_topic
        self._anomalies_topic = anomalies_topic
        self._headers = headers
        self._encode = msgspec.json.Encoder().encode

    @property
    def topics(self) -> Sequence[str]:
        """The topics of the messages."""
        return [topic for topic in (self._scores_topic, self._anomalies_topic) if topic is not None]

    def render(self, batch: Batch, scored: Scored, same_partitions: SamePartitions) -> list[Outgoing]:
        """Encode one score a valid record; an anomaly's message goes to both topics.

        `same_partitions(input, output)` tells whether results keep their record's partition number.
        """
        whole = len(scored.rows) == len(batch)
        rows = scored.rows.tolist()

        def column(values: Sequence[Any]) -> Sequence[Any]:
            return values if whole else [values[row] for row in rows]

        columns = (*_places(batch), batch.offsets, batch.timestamps)
        origins = list(map(Origin, *(column(values) for values in columns)))
        keys = column(batch.keys)
        records = self._records(scored, origins, keys)
        flagged = scored.flagged.tolist()
        for place, features in zip(flagged, scored.features, strict=True):
            records[place].features = features

        def partitions(topic: str, of: Sequence[Origin]) -> Sequence[int | None]:
            same = {name: same_partitions(name, topic) for name in {span.partition.topic for span in batch.spans}}
            return [origin.partition if same[origin.topic] else None for origin in of]

        messages = []
        if self._scores_topic is not None:
            headers = self._events(batch, scored.rows, origins) if self._headers else ()
            encoded = list(map(self._encode, records))
            places = partitions(self._scores_topic, origins)
            messages.append(Outgoing(self._scores_topic, encoded, keys, places, headers))
        if flagged:
            mine = [origins[place] for place in flagged]
            messages.append(
                Outgoing(
                    self._anomalies_topic,
                    [self._encode(records[place]) for place in flagged],
                    [keys[place] for place in flagged],
                    partitions(self._anomalies_topic, mine),
                    self._events(batch, scored.rows[scored.flagged], mine),
                )
            )
        return messages

    def _records(self, scored: Scored, origins: Sequence[Origin], keys: Sequence[bytes | None]) -> list[Score]:
        same = itertools.repeat
        optional: list[Iterable[Any]] = []
        if scored.latent is not None or scored.reconstruction is not None:
            latent = same(None) if scored.latent is None else scored.latent.tolist()
            optional = [same(None), latent]
            if scored.reconstruction is not None:
                optional.append([dict(zip(self._names, row, strict=True)) for row in scored.reconstruction])
        return list(
            map(
                Score,
                scored.score.tolist(),
                scored.anomaly.tolist(),
                scored.error.tolist(),
                same(self._threshold),
                scored.p_value.tolist(),
                same("scored"),
                same(self._model),
                origins,
                same(None) if keys.count(None) == len(keys) else map(_text, keys),
                *optional,
            )
        )

    def _events(self, batch: Batch, rows: NDArray[np.intp], origins: Sequence[Origin]) -> list[Headers]:
        """CloudEvents headers in binary mode, with the record's own `traceparent` passed through."""
        return [
            (
                *event(
                    EVENT_TYPE,
                    source=f"aestream/{self._model}",
                    partition=Partition(origin.topic, origin.partition),
                    offset=origin.offset,
                    timestamp=origin.timestamp,
                ),
                ("content-type", b"application/json"),
                *((n, v) for n, v in batch.headers[row] or () if n == "traceparent" and v and len(v) <= _TRACE_BYTES),
            )
            for row, origin in zip(rows.tolist(), origins, strict=True)
        ]


def _places(batch: Batch) -> tuple[list[str], list[int]]:
    """The topic and the partition of every row of a batch."""
    topics: list[str] = []
    partitions: list[int] = []
    for (topic, partition), start, stop in batch.spans:
        topics.extend(itertools.repeat(topic, stop - start))
        partitions.extend(itertools.repeat(partition, stop - start))
    return topics, partitions


def _text(key: bytes | None) -> str | None:
    return None if key is None else key[: _KEY_CHARACTERS * 4].decode(errors="replace")[:_KEY_CHARACTERS]
