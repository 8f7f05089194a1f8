"""aestream with each of its parts switched off in turn: constants and functions replaced for as long as a fit lasts.

The product has no switches for this. `tests/unit/bench` shows that each of these still changes the scores. Two are
not among them: early stopping saves time where it acts, and keeps the best weights either way; and the word that all
rows have about what the inner ones take for fixed (`residuals.WILDEST`) acts on one set in thirty, http.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from aestream.detector.folds import Folds
from aestream.detector.learn_windows import stretches
from aestream.detector.residuals import LatentBounds, ResidualScore
from aestream.models.fit import fit
from tests.bench.quality.convolutional import ConvolutionalAutoencoder
from tests.bench.quality.recurrent import RecurrentAutoencoder
from tests.bench.quality.sequence import MeanOfMembers, RunByTorch, SequenceAutoencoder
from tests.bench.quality.variational import VariationalAutoencoder


@dataclass(frozen=True, slots=True)
class Override:
    """What stands in for a part: `replaced` by dotted name within aestream, `options` of the Detector."""

    says: str
    replaced: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def applied(self) -> Iterator[Mapping[str, Any]]:
        """Replace the parts, yield the options, and put the parts back.

        Raises AttributeError when aestream no longer has what is to be replaced.
        """
        places = [(*_owner(name), value) for name, value in self.replaced.items()]
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
        try:
            for owner, name, value in places:
                setattr(owner, name, value)
            yield self.options
        finally:
            for owner, name, value in kept:
                setattr(owner, name, value)


def _owner(dotted: str) -> tuple[Any, str]:
    """Return the module or class that holds a name, and the name."""
    module, _, inner = dotted.partition(":")
    owner: Any = importlib.import_module(f"aestream.{module}")
    *classes, name = inner.split(".")
    for step in classes:
        owner = getattr(owner, step)
    getattr(owner, name)
    return owner, name


def _seen_by_all(rows: int, members: int) -> Folds:
    everything = np.arange(rows)
    return Folds([everything] * members, np.array_split(everything, members))


def _unbounded(_bounds: LatentBounds, latent: Any) -> Any:
    return latent


def _all_shown(members: int, features: int, _generator: Any) -> Any:
    return torch.ones(members, features, 1)


def _first_member(scorer: ResidualScore, residual: Any) -> Any:
    return scorer.member_errors(residual)[0]


def _arithmetic(scorer: ResidualScore, residual: Any) -> Any:
    return scorer.member_errors(residual).mean(axis=0)


def _no_tails(white: Any) -> Any:
    return np.ones(white.shape[1])


def _network(kind: type[SequenceAutoencoder]) -> Override:
    replaced = {
        "detector.learn_windows:DenseAutoencoder": kind,
        "detector.windows:TrainedDense": RunByTorch,
        "detector.windows:Merged": MeanOfMembers,
    }
    return Override(f"a {kind.kind} one, whose members are not merged", replaced)


OVERRIDES: dict[str, Override] = {
    "memory": Override("no training row is remembered: the network alone (`memory=0`)", options={"memory": 0}),
    "memory of 2,000": Override("4,000 rows are remembered (`memory=4000`)", options={"memory": 4000}),
    "levels of the memory": Override(
        "all of its rows are asked about every record", {"detector.neighbours:FEWEST": 1e9}
    ),
    "jumps in the memory": Override("inputs count alike in a distance", {"detector.neighbours:tails": _no_tails}),
    "latent bounds": Override(
        "latent vectors are decoded as they are", {"detector.residuals:LatentBounds.apply": _unbounded}
    ),
    "hidden features": Override("each member is shown all features", {"models.dense:_shown": _all_shown}),
    "whitening": Override(
        "residuals by the features' spread, their correlations ignored", {"detector.residuals:WIDE": 0}
    ),
    "whitening, spread": Override(
        "the plain mean squared error", {"detector.residuals:WIDE": 0, "detector.residuals:PRECISION": 1e3}
    ),
    "inner rows": Override(
        "spread, correlations, tails and bounds of all rows",
        {"detector.residuals:INNER": 1.0, "detector.residuals:MOST": 1.0},
    ),
    "heavy tails": Override("every feature by its standard deviation alone", {"detector.residuals:tails": _no_tails}),
    "ensemble": Override("one member instead of six", {"detector.residuals:ResidualScore.error": _first_member}),
    "geometric mean": Override(
        "the mean of the members' errors", {"detector.residuals:ResidualScore.error": _arithmetic}
    ),
    "held-out stretches": Override(
        "every member sees every row", {"detector.learn:Folds.of": staticmethod(_seen_by_all)}
    ),
    "deterministic bottleneck": Override(
        "a variational one, its KL term as weak as suits it best",
        {"detector.learn:DenseAutoencoder": VariationalAutoencoder},
    ),
    "denoising": Override("the network learns without noise", {"detector.learn:NOISE": 0.0}),
    "trimmed loss": Override(
        "the worst rows of a batch are learnt too", {"detector.learn:fit": partial(fit, trim=0.0)}
    ),
    "soft clip": Override("far values stay as far as they are", {"features.numeric:LINEAR": float("inf")}),
}

# The same for what judges windows.
WINDOWED: dict[str, Override] = {
    "windows": Override("each row alone (`window=1`)", options={"window": 1}),
    "windows of 10": Override("windows of 3 rows", options={"window": 3}),
    "windows of 10, not more": Override("windows of 20 rows", options={"window": 20}),
    "horizons": Override("all ten rows at once", {"detector.horizons:HORIZONS": ()}),
    "heavy tails": Override(
        "every residual by its standard deviation alone", {"detector.learn_windows:tails": _no_tails}
    ),
    "two-valued features": Override("they weigh as much as others", {"detector.learn_windows:TWO_VALUED": 1e9}),
    "clock": Override("no time of day, no weekday", options={"clock": "off"}),
    "hidden features": Override("each member is shown all features", {"models.dense:_shown": _all_shown}),
    "ensemble": Override(
        "two members instead of four",
        {"detector.learn_windows:MEMBERS": 2, "detector.learn_series:stretches": partial(stretches, members=2)},
    ),
    "dense network": _network(ConvolutionalAutoencoder),
    "dense network, not recurrent": _network(RecurrentAutoencoder),
    "denoising": Override("the network learns without noise", {"detector.learn_windows:NOISE": 0.0}),
    "swapping": Override("no feature comes from another window", {"detector.learn_windows:SWAP": 0.0}),
    "trimmed loss": Override(
        "the worst windows of a batch are learnt too", {"detector.learn_windows:fit": partial(fit, trim=0.0)}
    ),
}
# Of many entities in one model.
SHARED = Override(
    "one scaling, spread and threshold for all",
    {"detector.scales:OWN_ROWS": 10**9},
)
