"""From what the detector found to messages: the JSON of scores and anomalies, and their CloudEvents headers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Self

import msgspec
import numpy as np

from aestream.columns import Value
from aestream.messages.closings import Ended, closings
from aestream.messages.cloudevents import event
from aestream.messages.episodes import KEY_CHARACTERS, Episode
from aestream.types import Batch, Codes, Flags, Headers, Level, Matrix, Outgoing, Places, Status, Vector

EVENT_TYPE = "io.aestream.score.v1"

_TRACE_BYTES = 512  # W3C's have 55: a longer one is not a trace
_WHOLE: Places = np.empty(0, np.intp)
# By their codes; the usual level goes without saying.
_STATUSES = [status.name.lower() for status in Status]
_LEVELS = [None if level is Level.USUAL else level.name.lower() for level in Level]


class Origin(msgspec.Struct, omit_defaults=True, gc=False):
    """Where a record came from. `timestamp` is in milliseconds since the epoch.

    `element` is its place, from 0, in a message that holds several records.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    element: int | None = None

    @property
    def place(self) -> str:
        """What identifies the record: TOPIC/PARTITION/OFFSET, and /ELEMENT if it has one."""
        message = f"{self.topic}/{self.partition}/{self.offset}"
        return message if self.element is None else f"{message}/{self.element}"


class FeatureShare(msgspec.Struct, omit_defaults=True, gc=False):
    """One feature's part in an anomaly, in the user's units; the shares of all features add up to 1.

    A category is given by its name, a timestamp as ISO 8601 text, a missing value as null. `unseen`: the observed value
    is a category that training has not seen.
    """

    name: str
    observed: Value
    expected: Value
    share: float
    unseen: bool = False


class Score(msgspec.Struct, omit_defaults=True, gc=False):
    """One record's score, as published. docs/score.schema.json describes it.

    `status`: scored; warming or late, and then never an anomaly. `level`: held or moved, where the errors of the
    record's entity are no longer where they used to be. `entity`: for an anomaly, the fields that tell entities apart,
    as text. `episode`: of an anomaly, and of the record that closes one.
    """

    score: float
    anomaly: bool
    error: float
    threshold: float
    p_value: float
    status: str
    model: str
    source: Origin
    key: str | None
    entity: dict[str, str] | None = None
    features: list[FeatureShare] | None = None
    latent: list[float] | None = None
    reconstruction: dict[str, Value] | None = None
    level: str | None = None
    episode: Episode | None = None


class Scored(msgspec.Struct, frozen=True):
    """What the detector found for the valid records of a batch: columns, and the explained records.

    `rows` are places in the batch; `features[i]` belongs to `rows[flagged[i]]`. `unseen` counts the values of each
    categorical feature that training has not seen. `elements` are the records' places in their messages, -1 for one
    that is its whole message; empty if all are. `entities[i]` are the fields that name the entity of
    `rows[reported[i]]`, as text; empty if no such fields are given.

    Where records are judged with those before them, there are also the `threshold` of each, codes of its `status` and
    `level`, and the `episodes` of the records at the places `told`: the flagged ones, and those that close one.
    """

    rows: Places
    score: Vector
    error: Vector
    p_value: Vector
    anomaly: Flags
    flagged: Places
    features: Sequence[list[FeatureShare]]
    latent: Matrix | None
    reconstruction: Sequence[Sequence[Value]] | None
    unseen: Mapping[str, int] = {}
    elements: Places = _WHOLE
    entities: Sequence[Mapping[str, str]] = ()
    threshold: Vector | None = None
    status: Codes | None = None
    level: Codes | None = None
    told: Places = _WHOLE
    episodes: Sequence[Episode] = ()

    @property
    def reported(self) -> Places:
        """The records that are told of on the anomalies topic: the flagged ones, and those that close an episode."""
        return np.union1d(self.flagged, self.told)

    def without(self, places: Collection[int]) -> Self:
        """Leave out the records at these places in `rows`."""
        keep = np.ones(len(self.rows), bool)
        keep[list(places)] = False
        explained, told = keep[self.flagged], keep[self.told]
        places = np.cumsum(keep) - 1

        def kept(column: Any, by: Flags = keep) -> Any:
            if isinstance(column, np.ndarray):
                return column[by] if len(column) else column
            return column and list(itertools.compress(column, by.tolist()))

        return msgspec.structs.replace(
            self,
            rows=kept(self.rows),
            score=kept(self.score),
            error=kept(self.error),
            p_value=kept(self.p_value),
            anomaly=kept(self.anomaly),
            flagged=places[self.flagged[explained]],
            features=kept(self.features, explained),
            latent=kept(self.latent),
            reconstruction=kept(self.reconstruction),
            elements=kept(self.elements),
            entities=kept(self.entities, keep[self.reported]),
            threshold=kept(self.threshold),
            status=kept(self.status),
            level=kept(self.level),
            told=places[self.told[told]],
            episodes=kept(self.episodes, told),
        )


class Renderer:
    """Turns a scored batch into messages for the scores and the anomalies topic.

    If `scores_topic` is None, only anomalies are published. `headers` adds the CloudEvents headers to plain scores too.
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

    def closings(self, ended: Sequence[Ended], max_bytes: Callable[[str], int]) -> Outgoing:
        """Encode the ends of episodes that no record's message tells of."""
        return closings(self._anomalies_topic, self._model, ended, max_bytes(self._anomalies_topic))

    def render(self, batch: Batch, scored: Scored) -> list[Outgoing]:
        """Encode one score for each valid record; an anomaly goes to both topics."""
        several = len(scored.elements) > 0
        whole = len(scored.rows) == len(batch) and not several
        rows = scored.rows.tolist()

        def column(values: Sequence[Any]) -> Sequence[Any]:
            return values if whole else [values[row] for row in rows]

        sources, keys = column(batch.sources), column(batch.keys)
        topics, partitions = zip(*sources, strict=True) if sources else ((), ())
        elements = [[None if e < 0 else e for e in scored.elements.tolist()]] if several else []
        origins = list(map(Origin, topics, partitions, column(batch.offsets), column(batch.timestamps), *elements))
        records = self._records(scored, origins, keys)
        told = scored.reported.tolist()
        for place, features in zip(scored.flagged.tolist(), scored.features, strict=True):
            records[place].features = features
        for place, entity in zip(told, scored.entities or [{}] * len(told), strict=True):
            records[place].entity = {name: text[:KEY_CHARACTERS] for name, text in entity.items()} or None
        for place, episode in zip(scored.told.tolist(), scored.episodes, strict=True):
            records[place].episode = episode

        messages = []
        if self._scores_topic is not None:
            headers = self._events(batch, rows, origins) if self._headers else ()
            messages.append(Outgoing(self._scores_topic, list(map(self._encode, records)), keys, sources, headers))
        if told:
            messages.append(
                Outgoing(
                    self._anomalies_topic,
                    [self._encode(records[place]) for place in told],
                    [keys[place] for place in told],
                    [sources[place] for place in told],
                    self._events(batch, [rows[place] for place in told], [origins[place] for place in told]),
                )
            )
        return messages

    def _records(self, scored: Scored, origins: Sequence[Origin], keys: Sequence[bytes | None]) -> list[Score]:
        same = itertools.repeat
        optional: list[Iterable[Any]] = []
        if scored.latent is not None or scored.reconstruction is not None or scored.level is not None:
            latent = same(None) if scored.latent is None else scored.latent.tolist()
            rebuilt: Iterable[Any] = same(None)
            if scored.reconstruction is not None:
                rebuilt = [dict(zip(self._names, row, strict=True)) for row in scored.reconstruction]
            level = same(None) if scored.level is None else map(_LEVELS.__getitem__, scored.level.tolist())
            optional = [same(None), same(None), latent, rebuilt, level]
        return list(
            map(
                Score,
                scored.score.tolist(),
                scored.anomaly.tolist(),
                scored.error.tolist(),
                same(self._threshold) if scored.threshold is None else scored.threshold.tolist(),
                scored.p_value.tolist(),
                same("scored") if scored.status is None else map(_STATUSES.__getitem__, scored.status.tolist()),
                same(self._model),
                origins,
                same(None) if keys.count(None) == len(keys) else map(_text, keys),
                *optional,
            )
        )

    def _events(self, batch: Batch, rows: Sequence[int], origins: Sequence[Origin]) -> list[Headers]:
        """CloudEvents headers in binary mode, with the record's own `traceparent` passed through."""
        return [
            (
                *event(
                    EVENT_TYPE,
                    source=f"aestream/{self._model}",
                    place=origin.place,
                    timestamp=origin.timestamp,
                ),
                ("content-type", b"application/json"),
                *((n, v) for n, v in batch.headers[row] or () if n == "traceparent" and v and len(v) <= _TRACE_BYTES),
            )
            for row, origin in zip(rows, origins, strict=True)
        ]


def _text(key: bytes | None) -> str | None:
    return None if key is None else key[: KEY_CHARACTERS * 4].decode(errors="replace")[:KEY_CHARACTERS]
