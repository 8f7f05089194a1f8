"""aestream as an analyst calls it: the one place to change when its Python interface does."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from aestream import Detector
from aestream.state.alarms import Alarms
from tests.bench.quality.data import Labels, Rows


class Ours:
    """aestream's detector as a peer: fit, then score."""

    def __init__(self, **options: Any) -> None:
        self._detector = Detector(**options)

    def fit(self, rows: Rows) -> Ours:
        """Learn from (n, d)."""
        self._detector.fit(rows)
        return self

    def score(self, rows: Rows) -> Rows:
        """Return what ranks (m, d) rows, (m,)."""
        return self._detector.score(rows)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of m rows: errors (m,), and flags (m,) at the requested rate."""

    error: Rows
    flags: Labels


def learnt(train: Rows, keys: Any = None, times: Rows | None = None, **options: Any) -> Detector:
    """Fit on (n, d) rows with defaults but for `options`; `keys` (n,) are their entities, `times` (n,) seconds."""
    return Detector(**options).fit(train, keys=keys, times=times)


def judge(detector: Detector, rows: Rows, keys: Any = None, times: Rows | None = None) -> Judgement:
    """Judge (m, d) rows that go on from the end of what was fitted."""
    judged = detector.detect(rows, keys=keys, times=times)
    return Judgement(judged.error, judged.anomaly)


def adapting(detector: Detector, adaptation: Literal["off", "bounded", "held"]) -> Detector:
    """The same detector with another adaptation, which changes nothing of what it has learnt."""
    other, fitted = copy(detector), detector._fitted
    if (series := fitted.series) is not None:
        parts = replace(series.parts, alarms=Alarms(series.rate, adaptation))
        other._state = replace(fitted, series=replace(series, parts=parts))
    return other


def blame(detector: Detector, rows: Rows, chosen: Labels, times: Rows | None = None) -> Rows:
    """Each feature's weight in what is wrong with the chosen ones of n rows, (n, d): its squared deviations, else 0."""
    explained = detector.detect(rows, times=times, explain=chosen)
    weights = np.zeros(rows.shape)
    if explained.attribution is not None:
        weights[explained.explained] = np.square(explained.attribution.deviation)
    return weights


def compress(train: Rows, rows: Rows, size: int) -> Rows:
    """Return (n, d) rows as `size` latent numbers a row bring them back."""
    detector = Detector(latent_size=size).fit(train)
    return np.asarray(detector.decode(detector.encode(rows)))


def denoise(train: Rows, noisy: Rows, noise: float) -> Rows:
    """Return (n, d) rows without noise of `noise` standard deviations."""
    return np.asarray(Detector(noise=noise).fit(train).denoise(noisy))
