"""From what the detector found to messages: the JSON of scores and anomalies, and their CloudEvents headers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np

from aestream.columns import Value
from aestream.messages.closings import Ended, closings
from aestream.messages.cloudevents import event
from aestream.messages.episodes import KEY_CHARACTERS, Episode
from aestream.types import Batch, Codes, Flags, Headers, Level, Matrix, Outgoing, Partition, Places, Status, Vector

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


class PlainScore(msgspec.Struct, gc=False):
    """What is published of every record."""

    score: float
    anomaly: bool
    error: float
    threshold: float
    p_value: float
    status: str
    model: str
    source: Origin
    key: str | None


class Score(PlainScore, omit_defaults=True, gc=False):
    """One record's score, as published. docs/score.schema.json describes it.

    `status`: scored; warming or late, and then never an anomaly. `level`: held or moved, where the errors of the
    record's entity are no longer where they used to be. `entity`: for an anomaly, the fields that tell entities apart,
    as text. `episode`: of an anomaly, and of the record that closes one.
    """

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


class _Written(NamedTuple):
    """The encoded scores of some records: their rows in the batch, and columns of equal length."""

    rows: Sequence[int]
    sources: Sequence[Partition]
    keys: Sequence[bytes | None]
    origins: Sequence[Origin]
    values: Sequence[bytes]

    def at(self, places: Sequence[int]) -> Self:
        """Only some of them."""
        return type(self)(
            [self.rows[place] for place in places],
            [self.sources[place] for place in places],
            [self.keys[place] for place in places],
            [self.origins[place] for place in places],
            [self.values[place] for place in places],
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
        self._encoder = msgspec.json.Encoder()

    @property
    def topics(self) -> Sequence[str]:
        """The topics of the messages."""
        return [topic for topic in (self._scores_topic, self._anomalies_topic) if topic is not None]

    def closings(self, ended: Sequence[Ended], max_bytes: Callable[[str], int]) -> Outgoing:
        """Encode the ends of episodes that no record's message tells of."""
        return closings(self._anomalies_topic, self._model, ended, max_bytes(self._anomalies_topic))

    def render(self, batch: Batch, scored: Scored) -> list[Outgoing]:
        """Encode one score for each valid record; an anomaly goes to both topics."""
        told = scored.reported.tolist()
        if self._scores_topic is None:
            return [self._anomalies(batch, self._written(batch, scored, told))] if told else []
        found = self._written(batch, scored, None)
        headers = self._events(batch, found) if self._headers else ()
        scores = Outgoing(self._scores_topic, found.values, found.keys, found.sources, headers)
        return [scores, self._anomalies(batch, found.at(told))] if told else [scores]

    def _anomalies(self, batch: Batch, told: _Written) -> Outgoing:
        return Outgoing(self._anomalies_topic, told.values, told.keys, told.sources, self._events(batch, told))

    def _written(self, batch: Batch, scored: Scored, places: list[int] | None) -> _Written:
        """Encode the scores of the records at these places in `scored.rows`: those that are told of; None: all."""
        chosen = slice(None) if places is None else places
        rows, elements = scored.rows[chosen].tolist(), scored.elements[chosen] if len(scored.elements) else _WHOLE
        whole = len(rows) == len(batch) and not len(elements)

        def column(values: Sequence[Any]) -> Sequence[Any]:
            return values if whole else [values[row] for row in rows]

        sources, keys = column(batch.sources), column(batch.keys)
        several = [[None if e < 0 else e for e in elements.tolist()]] if len(elements) else []
        topics, partitions = map(itemgetter(0), sources), map(itemgetter(1), sources)
        origins = list(map(Origin, topics, partitions, column(batch.offsets), column(batch.timestamps), *several))
        records = self._records(scored, chosen, origins, keys)
        self._tell(records, scored, None if places is None else dict(zip(places, range(len(places)), strict=True)))
        # One call for all takes half the time. JSON has no line break that is not escaped.
        return _Written(rows, sources, keys, origins, self._encoder.encode_lines(records).split(b"\n")[:-1])

    def _records(
        self, scored: Scored, chosen: slice | list[int], origins: Sequence[Origin], keys: Sequence[bytes | None]
    ) -> list[PlainScore]:
        """The scores of the chosen records, without what is told of some."""
        same = itertools.repeat
        shape: type[PlainScore] = PlainScore
        optional: list[Iterable[Any]] = []
        levels = None if scored.level is None or not scored.level.any() else scored.level
        if scored.latent is not None or scored.reconstruction is not None or levels is not None:
            shape = Score
            latent = same(None) if scored.latent is None else scored.latent[chosen].tolist()
            rebuilt: Iterable[Any] = same(None)
            if scored.reconstruction is not None:
                some = scored.reconstruction
                shown = some if isinstance(chosen, slice) else [some[place] for place in chosen]
                rebuilt = [dict(zip(self._names, row, strict=True)) for row in shown]
            level = same(None) if levels is None else map(_LEVELS.__getitem__, levels[chosen].tolist())
            optional = [same(None), same(None), latent, rebuilt, level]
        return list(
            map(
                shape,
                scored.score[chosen].tolist(),
                scored.anomaly[chosen].tolist(),
                scored.error[chosen].tolist(),
                same(self._threshold) if scored.threshold is None else scored.threshold[chosen].tolist(),
                scored.p_value[chosen].tolist(),
                same("scored") if scored.status is None else map(_STATUSES.__getitem__, scored.status[chosen].tolist()),
                same(self._model),
                origins,
                _texts(keys),
                *optional,
            )
        )

    def _tell(self, records: list[PlainScore], scored: Scored, numbers: Mapping[int, int] | None) -> None:
        """Add what is told of some records; `numbers`: their places in `records`, if these are not all records."""
        told = scored.reported.tolist()
        whole = {}
        for place in told:
            number = place if numbers is None else numbers[place]
            whole[place] = records[number] = Score(*msgspec.structs.astuple(records[number]))
        for place, features in zip(scored.flagged.tolist(), scored.features, strict=True):
            whole[place].features = features
        for place, entity in zip(told, scored.entities or [{}] * len(told), strict=True):
            whole[place].entity = {name: text[:KEY_CHARACTERS] for name, text in entity.items()} or None
        for place, episode in zip(scored.told.tolist(), scored.episodes, strict=True):
            whole[place].episode = episode

    def _events(self, batch: Batch, of: _Written) -> list[Headers]:
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
            for row, origin in zip(of.rows, of.origins, strict=True)
        ]


def _texts(keys: Sequence[bytes | None]) -> Iterable[str | None]:
    """Keys (n,) as they are shown: as text, cut where they are very long."""
    there = [key for key in keys if key is not None]
    if not there:
        return itertools.repeat(None)
    if len(there) == len(keys) and max(map(len, there)) <= KEY_CHARACTERS:
        with contextlib.suppress(UnicodeDecodeError):
            return list(map(bytes.decode, there))
    return map(_text, keys)


def _text(key: bytes | None) -> str | None:
    return None if key is None else key[: KEY_CHARACTERS * 4].decode(errors="replace")[:KEY_CHARACTERS]
