"""Bytes in, messages out, a batch at a time, with no Kafka in it: decode, detect, explain, render."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aestream.codecs.base import Decoded, Decoder
from aestream.detector import Detector
from aestream.output import FeatureShare, Renderer, SamePartitions, Scored
from aestream.types import Batch, Outgoing


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
            found.reconstruction,
        )

    def render(self, batch: Batch, scored: Scored, same_partitions: SamePartitions) -> list[Outgoing]:
        """Encode the scores and the anomalies."""
        return self._renderer.render(batch, scored, same_partitions)

    def _explain(self, decoded: Decoded, flagged: np.ndarray) -> Sequence[list[FeatureShare]]:
        """The features with the largest shares of each flagged row's error, largest first."""
        if not len(flagged):
            return ()
        found = self._detector.attribute(decoded.matrix[flagged])
        names = self._detector.schema.names
        top = np.argsort(-found.share, axis=1, kind="stable")[:, : self._top_features]
        columns = [
            np.take_along_axis(values, top, 1).tolist() for values in (found.observed, found.expected, found.share)
        ]
        return [
            [FeatureShare(names[i], *values) for i, *values in zip(order, *row, strict=True)]
            for order, *row in zip(top.tolist(), *columns, strict=True)
        ]
