"""Bytes in, messages out, a batch at a time and without Kafka: decode, detect, explain, render, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aestream.codecs.base import Decoded, Decoder
from aestream.columns import Kind
from aestream.detector.attribution import Attribution
from aestream.detector.detector import Detector
from aestream.features.roles import texts
from aestream.features.schema import FeatureSchema
from aestream.messages.dead_letters import dead_letters
from aestream.messages.scores import FeatureShare, Renderer, Scored
from aestream.transport.size import too_large
from aestream.types import Batch, Invalid, Outgoing, PassedOver, Places, Reason


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a batch: messages that their topics accept, and what there is to count."""

    messages: Sequence[Outgoing]
    scored: Scored
    invalid: Sequence[Invalid]
    passed: Mapping[PassedOver, int]


class Pipeline:
    """One model's way from a batch of raw records to the messages about them, dead letters included.

    Records that cannot be scored go to `dead_letters_topic`. `top_features` is the number of features that explain an
    anomaly; `latent` and `reconstruction` add these to every score. `entity` names the fields that say which entity an
    anomaly is about: the decoder reads them beside the features.
    """

    def __init__(
        self,
        detector: Detector,
        decoder: Decoder,
        renderer: Renderer,
        *,
        dead_letters_topic: str,
        top_features: int,
        entity: Sequence[str] = (),
        latent: bool = False,
        reconstruction: bool = False,
    ) -> None:
        self._detector = detector
        self._decoder = decoder
        self._renderer = renderer
        self._dead_letters_topic = dead_letters_topic
        self._top_features = top_features
        self._entity = tuple(entity)
        self._latent = latent
        self._reconstruction = reconstruction

    @property
    def topics(self) -> Sequence[str]:
        """The topics that messages are for."""
        return [*self._renderer.topics, self._dead_letters_topic]

    @property
    def categories(self) -> Sequence[str]:
        """The names of the categorical features."""
        schema = self._detector.schema
        return [n for n, column in zip(schema.names, schema.columns, strict=True) if column.kind is Kind.CATEGORICAL]

    def decode(self, batch: Batch) -> Decoded:
        """The feature matrix of the valid rows, and the invalid rows with their reasons."""
        return self._decoder.decode(batch.values, batch.keys, batch.timestamps)

    def results(self, batch: Batch, decoded: Decoded, scored: Scored, max_bytes: Callable[[str], int]) -> Results:
        """Write the messages about all rows of a batch, each one small enough for its topic.

        `max_bytes(topic)` is the largest message that a topic accepts. A message with a record whose score does not fit
        becomes a dead letter, which is cut to fit.
        """
        while True:
            messages = self._renderer.render(batch, scored)
            problems = _too_large(messages, scored, max_bytes)
            if not problems:
                break
            decoded, scored = decoded.without(problems), scored.without(problems)
        if decoded.invalid:
            topic = self._dead_letters_topic
            messages.append(dead_letters(topic, batch, decoded.invalid, max_bytes=max_bytes(topic)))
        return Results(messages, scored, decoded.invalid, decoded.passed)

    def score(self, decoded: Decoded) -> Scored:
        """Score the valid rows in one forward pass; explain those that were flagged, and name their entities."""
        found = self._detector.detect(decoded.matrix, latent=self._latent, reconstruction=self._reconstruction)
        flagged = np.flatnonzero(found.anomaly)
        return Scored(
            decoded.rows,
            found.score,
            found.error,
            found.p_value,
            found.anomaly,
            flagged,
            self._explain(decoded, flagged),
            found.latent,
            None if found.reconstruction is None else self._detector.schema.show(found.reconstruction),
            self._detector.unseen(decoded.matrix),
            decoded.elements,
            self._entities(decoded, flagged.tolist()),
        )

    def _entities(self, decoded: Decoded, flagged: Sequence[int]) -> Sequence[Mapping[str, str]]:
        """The fields that name the entity of each flagged row, as text."""
        if not self._entity:
            return ()
        columns = [texts([decoded.asides[name][place] for place in flagged]) for name in self._entity]
        return [
            {name: text for name, text in zip(self._entity, row, strict=True) if text is not None}
            for row in zip(*columns, strict=True)
        ]

    def _explain(self, decoded: Decoded, flagged: Places) -> Sequence[list[FeatureShare]]:
        """The features with the largest shares of each flagged row's error, largest first."""
        if not len(flagged):
            return ()
        found = self._detector.attribute(decoded.matrix[flagged])
        return feature_shares(found, self._detector.schema, self._top_features)


def feature_shares(found: Attribution, schema: FeatureSchema, most: int) -> list[list[FeatureShare]]:
    """The `most` features with the largest shares of each of m records' errors, largest first."""
    top = np.argsort(-found.share, axis=1, kind="stable")[:, :most]
    shares = np.take_along_axis(found.share, top, 1).tolist()
    unseen = schema.unseen(found.observed).tolist()
    rows = zip(top.tolist(), schema.show(found.observed), schema.show(found.expected), shares, unseen, strict=True)
    return [
        [
            FeatureShare(schema.names[i], observed[i], expected[i], share, new[i])
            for i, share in zip(order, of, strict=True)
        ]
        for order, observed, expected, of, new in rows
    ]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version ready to score with."""

    pipeline: Pipeline
    version: str
    sha256: str
    trained: float  # seconds since the epoch
    threshold: float


def _too_large(messages: Sequence[Outgoing], scored: Scored, max_bytes: Callable[[str], int]) -> Mapping[int, Invalid]:
    """What is wrong with the records whose results do not fit into their topics, by place among the valid ones."""
    problems: dict[int, Invalid] = {}
    for some in messages:
        limit = max_bytes(some.topic)
        # every valid record has a score, only the flagged ones have an anomaly
        places = range(len(scored.rows)) if len(some) == len(scored.rows) else scored.flagged.tolist()
        for number, size in too_large(some, limit):
            place = places[number]
            why = f"its result has {size} bytes with the key, and topic {some.topic} accepts {limit}"
            problems[place] = Invalid(int(scored.rows[place]), Reason.TOO_LARGE, why)
    return problems
