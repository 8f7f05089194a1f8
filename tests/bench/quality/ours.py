"""aestream as an analyst calls it: the one place to change when its Python interface does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np

from aestream import Detector
from aestream.state.alarms import Alarms
from tests.bench.quality.data import Labels, Rows


class Ours:
    """aestream's detector as a peer: fit, then score."""

    def __init__(self, **options: Any) -> None:
        self._detector = made(**options)

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


def made(**options: Any) -> Detector:
    """Return a detector with its defaults but for `options`."""
    return Detector(**_known(Detector, options))


def learnt(train: Rows, keys: Any = None, times: Rows | None = None, **options: Any) -> Detector:
    """Fit on (n, d) rows with defaults but for `options`; `keys` (n,) are their entities, `times` (n,) seconds."""
    detector = made(**options)
    return detector.fit(train, **_known(detector.fit, {"keys": keys, "times": times}))


def judge(detector: Detector, rows: Rows, keys: Any = None, times: Rows | None = None) -> Judgement:
    """Judge (m, d) rows that go on from the end of what was fitted."""
    judged = detector.detect(rows, **_known(detector.detect, {"keys": keys, "times": times}))
    return Judgement(judged.error, judged.anomaly)


def adapting(detector: Detector, adaptation: Literal["off", "bounded", "held"]) -> Detector:
    """The same detector with another adaptation, which changes nothing of what it has learnt."""
    other, fitted = copy(detector), cast("Any", detector._fitted)
    if (series := getattr(fitted, "series", None)) is not None:
        parts = replace(series.parts, alarms=Alarms(series.rate, adaptation))
        other._state = replace(fitted, series=replace(series, parts=parts))
    return other


def blame(detector: Detector, rows: Rows, times: Rows | None = None) -> Rows:
    """Each feature's weight in what is wrong with rows, (n, d): its squared deviations."""
    explained = detector.attribute(rows, **_known(detector.attribute, {"times": times}))
    weights: Rows = np.square(explained.deviation)
    return weights


def compress(train: Rows, rows: Rows, size: int) -> Rows:
    """Return (n, d) rows as `size` latent numbers a row bring them back."""
    detector = Detector(latent_size=size).fit(train)
    return np.asarray(detector.decode(detector.encode(rows)))


def denoise(train: Rows, noisy: Rows, noise: float) -> Rows:
    """Return (n, d) rows without noise of `noise` standard deviations."""
    return np.asarray(Detector(noise=noise).fit(train).denoise(noisy))


def _known(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """What of `given` a function takes: until the detector remembers, it judges rows alone."""
    takes = inspect.signature(function).parameters
    return {name: value for name, value in given.items() if name in takes}
