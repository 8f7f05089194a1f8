"""Bytes in, messages out, a batch at a time and without Kafka: decode, detect, explain, render, dead letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from msgspec.structs import replace

from aestream.codecs.base import Decoded, Decoder
from aestream.codecs.marks import marks_of, moments_of
from aestream.columns import Kind
from aestream.detector.attribution import Attribution
from aestream.detector.detection import Detection, Episodes, Wanted
from aestream.detector.detector import Detector
from aestream.detector.silence import Silent
from aestream.detector.stream import Stream
from aestream.features.roles import NO_MARKS, NO_ROLES, Marks, Roles, texts
from aestream.features.schema import FeatureSchema
from aestream.messages.closings import Ended, Ending
from aestream.messages.dead_letters import dead_letters
from aestream.messages.episodes import Episode, episode, fields_of, milliseconds, text_of
from aestream.messages.incidents import Incidents
from aestream.messages.scores import FeatureShare, Renderer, Scored
from aestream.messages.untold import Untold
from aestream.transport.size import too_large
from aestream.types import (
    Batch,
    Codes,
    Invalid,
    Origin,
    Outgoing,
    PassedOver,
    Phase,
    Places,
    Reason,
    spans_of,
)


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a batch: messages that their topics accept, and what there is to count."""

    messages: Sequence[Outgoing]
    scored: Scored
    invalid: Sequence[Invalid]
    passed: Mapping[PassedOver, int]


class Pipeline:
    """One model's way from a batch of raw records to the messages about them, dead letters included.

    `stream` is the detector's, and remembers the records if it judges them with those before them. `roles` name the
    fields that say which entity a record is about, and when it was recorded: the decoder reads them beside the
    features. Records that cannot be scored go to `dead_letters_topic`. `top_features` is the number of features that
    explain an anomaly; `latent` and `reconstruction` add these to every score.
    """

    def __init__(
        self,
        detector: Detector,
        stream: Stream,
        decoder: Decoder,
        renderer: Renderer,
        *,
        dead_letters_topic: str,
        top_features: int,
        roles: Roles = NO_ROLES,
        latent: bool = False,
        reconstruction: bool = False,
    ) -> None:
        self._detector = detector
        self.stream = stream
        self._decoder = decoder
        self._renderer = renderer
        self._dead_letters_topic = dead_letters_topic
        self._top_features = top_features
        self._roles = roles
        self._latent = latent
        self._reconstruction = reconstruction
        self._untold = self._still_untold = Untold()
        self._incidents = Incidents()

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
        becomes a dead letter, which is cut to fit. If it opens or closes an episode, another message does so.
        """
        untold = self._untold.after()
        while True:
            scored = untold.opened(scored)
            messages = self._renderer.render(batch, scored)
            problems = _too_large(messages, scored, max_bytes)
            if not problems:
                break
            untold.missed(batch, scored, problems)
            decoded, scored = decoded.without(problems), scored.without(problems)
        self._still_untold = untold
        if untold.ended:
            messages.append(self._renderer.closings(untold.ended, max_bytes))
        if decoded.invalid:
            topic = self._dead_letters_topic
            messages.append(dead_letters(topic, batch, decoded.invalid, max_bytes=max_bytes(topic)))
        return Results(messages, scored, decoded.invalid, decoded.passed)

    def score(self, batch: Batch, decoded: Decoded) -> Scored:
        """Score the valid rows in one forward pass; explain those that were flagged, and name their entities."""
        self._untold = self._still_untold  # the batch before is published
        found, marks = self._judge(batch, decoded)
        flagged = np.flatnonzero(found.anomaly)
        told = flagged if found.episodes is None else np.union1d(flagged, found.episodes.told)
        scored = Scored(
            decoded.rows,
            found.score,
            found.error,
            found.p_value,
            found.anomaly,
            flagged,
            self._explain(found),
            found.latent,
            None if found.reconstruction is None else self._detector.schema.show(found.reconstruction),
            self._detector.unseen(decoded.matrix),
            decoded.elements,
            self._entities(decoded, told.tolist()),
        )
        if found.episodes is None:
            return scored
        return replace(
            scored,
            threshold=found.threshold,
            status=found.status,
            level=found.level,
            told=found.episodes.told,
            episodes=self._episodes(found.phase, found.episodes, batch, decoded.rows, marks) if len(told) else (),
        )

    def closings(self, ended: Sequence[Ended], max_bytes: Callable[[str], int]) -> Outgoing:
        """Write the messages that end these episodes."""
        return self._renderer.closings(ended, max_bytes)

    def ended(self, silent: Sequence[Silent]) -> list[Ended]:
        """End the episodes of entities that fell silent."""
        times = [milliseconds(one.last) for one in silent]
        over = [
            episode(
                one.partition,
                one.key,
                Phase.CLOSED,
                since=one.since,
                worst=one.worst,
                share=one.share,
                names=self._detector.schema.names,
                most=self._top_features,
            )
            for one in silent
        ]
        return [
            Ended(
                Ending.SILENT,
                one.partition,
                None if one.key is None else text_of(one.key).encode(errors="replace"),
                fields_of(one.key, self._roles.key),
                closed,
                at,
            )
            for one, closed, at in zip(silent, self._incidents.mark(over, times), times, strict=True)
        ]

    def go_on(self, former: Self) -> None:
        """Tell of the episodes that another model's pipeline has told of so far."""
        self._incidents, self._untold, self._still_untold = former._incidents, former._untold, former._still_untold

    def _judge(self, batch: Batch, decoded: Decoded) -> tuple[Detection, Marks]:
        """Judge the valid rows; return their keys and times too, if they are judged with those before them."""
        wanted = Wanted(True, self._latent, self._reconstruction)
        if not self._detector.remembers:
            return self.stream.judge(decoded.matrix, (), None, wanted), NO_MARKS
        marks, origin = self._marked(batch, decoded)
        return self.stream.judge(decoded.matrix, marks.keys or (), marks.times, wanted, origin), marks

    def recall(self, batch: Batch) -> None:
        """See the records of a batch once more, for what is to be remembered of their entities: nothing is told."""
        decoded = self.decode(batch)
        marks, origin = self._marked(batch, decoded)
        self.stream.recall(decoded.matrix, marks.keys or (), marks.times, origin)

    def _marked(self, batch: Batch, decoded: Decoded) -> tuple[Marks, Origin]:
        """The keys and times of the valid rows, and where they came from."""
        stamps = moments_of(decoded)
        offsets = np.fromiter(batch.offsets, np.int64, len(batch))[decoded.rows]
        origin = Origin(spans_of(batch.spans, decoded.rows), offsets, np.nan_to_num(stamps))
        return marks_of(decoded, self._roles, stamps), origin

    def _entities(self, decoded: Decoded, told: Sequence[int]) -> Sequence[Mapping[str, str]]:
        """The fields that name the entity of each of these valid rows, as text."""
        names = self._roles.key
        if not names:
            return ()
        columns = [texts([decoded.asides[name][place] for place in told]) for name in names]
        return [
            {name: text for name, text in zip(names, row, strict=True) if text is not None}
            for row in zip(*columns, strict=True)
        ]

    def _explain(self, found: Detection) -> Sequence[list[FeatureShare]]:
        """The features with the largest shares of each flagged row's error, largest first."""
        if found.attribution is None or not len(found.attribution.share):
            return ()
        return feature_shares(found.attribution, self._detector.schema, self._top_features)

    def _episodes(self, phase: Codes, episodes: Episodes, batch: Batch, rows: Places, marks: Marks) -> list[Episode]:
        """The episodes of the records at `episodes.told`, with the features of the largest shares."""
        sources, keys = batch.sources, marks.keys or ()
        found = [
            episode(
                sources[rows[place]],
                keys[place],
                Phase(int(phase[place])),
                since=float(episodes.since[place]),
                worst=float(episodes.worst[place]),
                share=share,
                names=self._detector.schema.names,
                most=self._top_features,
            )
            for place, share in zip(episodes.told.tolist(), episodes.share, strict=True)
        ]
        times = episodes.since if marks.times is None else np.where(np.isnan(marks.times), episodes.since, marks.times)
        return self._incidents.mark(found, map(milliseconds, times[episodes.told].tolist()))


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
        # every valid record has a score, only some are reported
        places = range(len(scored.rows)) if len(some) == len(scored.rows) else scored.reported.tolist()
        for number, size in too_large(some, limit):
            place = places[number]
            why = f"its result has {size} bytes with the key, and topic {some.topic} accepts {limit}"
            problems[place] = Invalid(int(scored.rows[place]), Reason.TOO_LARGE, why)
    return problems
