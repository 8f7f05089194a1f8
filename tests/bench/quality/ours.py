"""aestream as an analyst calls it: the one place to change when its Python interface does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aestream import Detector
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


def judge(train: Rows, test: Rows, false_alarm_rate: float, seed: int, **options: Any) -> tuple[Detector, Judgement]:
    """Fit with defaults but for the rate and the options given, and judge the rows to test."""
    detector = Detector(false_alarm_rate=false_alarm_rate, seed=seed, **options).fit(train)
    return detector, Judgement(detector.error(test), detector.flag(test))


def blame(detector: Detector, rows: Rows) -> Rows:
    """Each feature's weight in what is wrong with (n, d) rows of one incident, (d,): its summed squared deviations."""
    weights: Rows = np.square(detector.attribute(rows).deviation).sum(axis=0)
    return weights


def compress(train: Rows, rows: Rows, size: int) -> Rows:
    """Return (n, d) rows as `size` latent numbers a row bring them back."""
    detector = Detector(latent_size=size).fit(train)
    return np.asarray(detector.decode(detector.encode(rows)))


def denoise(train: Rows, noisy: Rows, noise: float) -> Rows:
    """Return (n, d) rows without noise of `noise` standard deviations."""
    return np.asarray(Detector(noise=noise).fit(train).denoise(noisy))
