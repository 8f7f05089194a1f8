"""Bytes in, messages out, a batch at a time, with no Kafka in it: decode, detect, explain, render."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import numpy as np

from aestream.codecs.base import Decoded, Decoder
from aestream.columns import Kind
from aestream.detector.detector import Detector
from aestream.messages.scores import FeatureShare, Renderer, SamePartitions, Scored
from aestream.transport.size import too_large
from aestream.types import Batch, Invalid, Outgoing, Reason


class Pipeline:
    """One model's way from a batch of raw records to the messages about them.

    `top_features` is the number of features that explain an anomaly; `latent` and `reconstruction` add these to every
    score.
    """

    def __init__(
        self,
        detector: Detector,
        decoder: Decoder,
        renderer: Renderer,
        *,
        top_features: int,
        latent: bool = False,
        reconstruction: bool = False,
    ) -> None:
        self._detector = detector
        self._decoder = decoder
        self._renderer = renderer
        self._top_features = top_features
        self._latent = latent
        self._reconstruction = reconstruction

    @property
    def topics(self) -> Sequence[str]:
        """The topics that `render` writes to."""
        return self._renderer.topics

    @property
    def categories(self) -> Sequence[str]:
        """The names of the categorical features."""
        schema = self._detector.schema
        return [n for n, column in zip(schema.names, schema.columns, strict=True) if column.kind is Kind.CATEGORICAL]

    def decode(self, batch: Batch) -> Decoded:
        """The feature matrix of the valid rows, and the invalid rows with their reasons."""
        return self._decoder.decode(batch.values)

    def score(self, decoded: Decoded) -> Scored:
        """Score the valid rows in one forward pass; explain those that were flagged."""
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
        )

    def render(self, batch: Batch, scored: Scored, same_partitions: SamePartitions) -> list[Outgoing]:
        """Encode the scores and the anomalies."""
        return self._renderer.render(batch, scored, same_partitions)

    def fitting(
        self, decoded: Decoded, scored: Scored, results: Sequence[Outgoing], max_bytes: Callable[[str], int]
    ) -> Decoded:
        """The records whose results their topics take; the others are among the invalid ones.

        `max_bytes(topic)` is the largest message that a topic takes. `decoded` itself comes back when all results fit.
        """
        problems: dict[int, Invalid] = {}
        for messages in results:
            limit = max_bytes(messages.topic)
            # the scores are of every row, the anomalies of the flagged ones
            rows = scored.rows if len(messages) == len(scored.rows) else scored.rows[scored.flagged]
            for place, size in too_large(messages, limit):
                row = int(rows[place])
                why = f"its result takes {size} bytes, with the key, and topic {messages.topic} takes {limit}"
                problems[row] = Invalid(row, Reason.TOO_LARGE, why)
        if not problems:
            return decoded
        keep = ~np.isin(decoded.rows, list(problems))
        invalid = sorted([*decoded.invalid, *problems.values()], key=operator.attrgetter("row"))
        return Decoded(decoded.matrix[keep], decoded.rows[keep], invalid)

    def _explain(self, decoded: Decoded, flagged: np.ndarray) -> Sequence[list[FeatureShare]]:
        """The features with the largest shares of each flagged row's error, largest first."""
        if not len(flagged):
            return ()
        found = self._detector.attribute(decoded.matrix[flagged])
        names = self._detector.schema.names
        top = np.argsort(-found.share, axis=1, kind="stable")[:, : self._top_features]
        show = self._detector.schema.show
        shares = np.take_along_axis(found.share, top, 1).tolist()
        rows = zip(top.tolist(), show(found.observed), show(found.expected), shares, strict=True)
        return [
            [FeatureShare(names[i], observed[i], expected[i], share) for i, share in zip(order, of, strict=True)]
            for order, observed, expected, of in rows
        ]
