"""Learning what is normal over windows: the network, its score, and the errors of rows that it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream import portions
from aestream.detector.deviations import Deviations, EveryDeviation
from aestream.detector.folds import Folds, evenly
from aestream.detector.network import Network
from aestream.detector.options import Options
from aestream.detector.residuals import LatentBounds, tails
from aestream.detector.rows import Frame
from aestream.detector.windows import CHUNK, Part, Windows, WindowScore
from aestream.models.dense import DenseAutoencoder
from aestream.models.fit import fit
from aestream.networks.base import TrainedNetwork
from aestream.networks.progress import Progress, Training
from aestream.types import Floats, Matrix, Places, Vector

MEMBERS = 4
# About half as many latent numbers as a row has inputs, at least and at most so many.
LATENT = (3, 16)
# What the members learn to remove: noise in standard deviations of a feature, and features from other windows.
NOISE, SWAP = 0.2, 0.2
# The usual latent vectors and residuals, and the validation loss, are of at most so many windows a member.
STATISTICS_ROWS, VALIDATION_ROWS = 8_000, 2_000
# Features with two values (switches, commands) weigh together at most so much, against the others together.
TWO_VALUED = 0.25
# Residuals that spread less than this (in standard deviations of a feature) count as spread this much.
LEAST_SPREAD = 0.05
# An entity's own spread of residuals counts as much as the shared one if it has so many rows.
OWN_ROWS = 100


def learn_windows(
    frame: Frame,
    stretch: Places,
    *,
    shares: Vector,
    deviations: Deviations | EveryDeviation,
    options: Options,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Windows, Vector, Training]:
    """Learn from the n records of a frame -> the judge, and the error of each as if no member had seen it, (n,).

    `stretch` (n,): the number of the member that is not to see the record (see `stretches`). `shares` (w,): what each
    input counts (see `shares_of`).
    """
    width = frame.inputs.shape[1]
    part = Part.of(frame, slice(0, 0), with_matrix=False)
    model = DenseAutoencoder(
        features=part.inputs.shape[1],
        latent_size=min(max(width // 2 + 1, LATENT[0]), LATENT[1]),
        hidden=options.hidden,
        members=MEMBERS,
        seed=options.seed,
        rows=part.inputs.shape[1] // width,
        context=part.context.shape[1],
    )
    numbers = np.arange(len(stretch), dtype=np.int32)
    folds = Folds(
        [numbers[stretch != own] for own in range(MEMBERS)], [numbers[stretch == own] for own in range(MEMBERS)]
    )
    training = fit(
        model,
        _Looked(frame),
        evenly(folds.seen, len(stretch)),
        evenly(folds.unseen, VALIDATION_ROWS),
        steps=options.steps,
        noise=NOISE,
        swap=SWAP,
        seed=options.seed,
        progress=progress,
    )
    trained = model.trained()
    network = Network(trained, _bounds(trained, _Looked(frame), folds), deviations)
    scorer = WindowScore(*_sizes(network, frame, stretch), shares.astype(np.float32))
    windows = Windows(network, scorer)
    return windows, _held_out(windows, frame, folds), training


def shares_of(inputs: Floats, weights: Vector | None) -> Vector:
    """What each of w inputs counts, 1 in all, by the records (n, w) of the training sample.

    `weights` (w,): factors of the residuals, with which all features count equally; None: 1. Where entities are scaled
    each by itself, the records are those before that: a switch would have two values for each entity.
    """
    share = np.ones(inputs.shape[1]) if weights is None else np.square(weights)
    two = np.array([np.all((column == column.min()) | (column == column.max())) for column in inputs.T])
    if two.any() and not two.all():
        share[two] *= min(1.0, TWO_VALUED * share[~two].sum() / share[two].sum())
    shares: Vector = share / share.sum()
    return shares


def stretches(owner: Places, members: int = MEMBERS) -> Places:
    """Cut the rows of each owner (n,), in their order, into as many stretches as there are members -> numbers (n,).

    Neighbours in time are alike, so that a row whose neighbours were seen is hardly held out. The first stretch of each
    owner is another one, so that all are as long even where owners have few rows.
    """
    order = np.argsort(owner, kind="stable")
    _, code, counts = np.unique(owner, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    within = np.empty(len(owner), np.int64)
    within[order] = np.arange(len(owner)) - np.repeat(first, counts)
    return (within * members // counts[code] + code) % members


@dataclass(frozen=True, slots=True)
class _Looked:
    """The inputs and the context of windows by the records' numbers."""

    frame: Frame

    def __getitem__(self, numbers: NDArray[Any], /) -> Floats:
        part = Part.of(self.frame, numbers.ravel(), with_matrix=False)
        return part.asked(part.inputs).reshape(*numbers.shape, -1)


def _bounds(model: TrainedNetwork, looked: _Looked, folds: Folds) -> LatentBounds:
    latents = model.encode(looked[evenly(folds.seen, STATISTICS_ROWS)])
    return LatentBounds.fit(list(latents.astype(np.float64)))


def _sizes(network: Network, frame: Frame, stretch: Places) -> tuple[Floats, Floats]:
    """The usual sizes of the residuals of windows that a member has not seen, and their jumps: (E + 1, w) each.

    First those of all, then by entity. An entity's own are drawn towards those of all.
    """

    def sizes(numbers: Places) -> Matrix:
        return _size(_unseen_residuals(network, frame, _thinned(numbers), stretch).reshape(-1, frame.inputs.shape[1]))

    who = np.zeros(len(stretch), np.intp) if frame.who is None else frame.who
    shared = sizes(np.arange(len(stretch)))
    logs = [shared]
    for rows in np.split(np.argsort(who, kind="stable"), np.cumsum(np.bincount(who))[:-1])[1:]:
        share = len(rows) / (len(rows) + OWN_ROWS)
        logs.append(share * sizes(rows) + (1 - share) * shared if len(rows) else shared)
    spread, jumps = np.exp(np.stack(logs, axis=1)).astype(np.float32)
    return spread, jumps


def _size(residuals: Matrix) -> Matrix:
    """The logarithms of the spread of residuals (n, w), and of how much larger they count for their jumps: (2, w).

    Half way, on this scale, between the spread and the reach of the tails.
    """
    parts = [residuals[:, place] for place in portions.columns(*residuals.shape)]
    spreads = [part.std(axis=0, dtype=np.float64) + LEAST_SPREAD for part in parts]
    reach = [tails(part / spread) for part, spread in zip(parts, spreads, strict=True)]
    logs: Matrix = np.log(np.stack([np.concatenate(spreads), np.sqrt(np.maximum(np.concatenate(reach), 1.0))]))
    return logs


def _thinned(numbers: Places) -> Places:
    return numbers[:: -(-len(numbers) // (MEMBERS * STATISTICS_ROWS)) or 1]


def _unseen_residuals(network: Network, frame: Frame, numbers: Places, stretch: Places) -> Matrix:
    """What is left of windows by the member that has not seen them, (n, L w), float32."""
    left = []
    for start in range(0, len(numbers), CHUNK):
        chosen = numbers[start : start + CHUNK]
        part = Part.of(frame, chosen, with_matrix=False)
        rebuilt = network.reconstruct(part.asked(part.inputs))  # (M, B, L w)
        left.append(part.inputs - rebuilt[stretch[chosen], np.arange(len(chosen))])
    return np.concatenate(left)


def _held_out(windows: Windows, frame: Frame, folds: Folds) -> Vector:
    """The error of each record (n,), as if no member had seen it.

    All but one member have seen it, and err less for it. By how much less is known from the one that has not: the mean
    difference over its stretch is added to the error of the ensemble.
    """
    errors = windows.judge(frame).error
    for member, stretch in enumerate(folds.unseen):
        parts = (stretch[start : start + CHUNK].astype(np.intp) for start in range(0, len(stretch), CHUNK))
        more = [_gap(windows, frame, part, member) for part in parts]
        errors[stretch] *= np.exp(np.concatenate(more).mean() if more else 0.0)
    return errors


def _gap(windows: Windows, frame: Frame, chosen: Places, member: int) -> Vector:
    """How much larger the log errors of a member are than the mean of all members', (B,)."""
    part = windows.part(frame, chosen)
    look = windows.look(part)
    rebuilt = windows.network.reconstruct(part.asked(look.counting_inputs))  # (M, B, L w)
    logs = np.log(windows.scorer.error((part.inputs - rebuilt) * look.counts, part.who))
    gap: Vector = logs[member] - logs.mean(axis=0)
    return gap
