"""From residual and latent vector to one error per record, and how far each feature is off.

A plain reconstruction error misses records that are strange in a way the network can still follow: their latent
vector lies where no normal one does, and the decoder, asked far from what it learnt, may reconstruct them well. So
the latent vector is first drawn back to the border of the normal ones (`LatentBounds`); what is reconstructed
is then the nearest normal record, and the residual against it (`ResidualScore`) is large for both kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from aestream.networks.base import layer
from aestream.types import Arrays, Floats, Matrix, Vector

# Values without a source of their own are compared with a smaller and a larger one by
# `python -m tests.bench.quality --parts constants`.

# The border of the normal latent vectors: this share of the training rows lies within it.
INSIDE = 0.99
# Spread and correlations are learnt from this inner share of the training rows, chosen anew so many times (the
# concentration steps of Rousseeuw and Van Driessen 1999), and the tails from this share.
INNER, REFITS, MOST = 0.9, 3, 0.95
# The eigenvalues of the residuals' correlations get this much more, and those of the latent vectors' covariance this
# much of their mean (as in ridge regression, Hoerl and Kennard 1970). Tables and servers rank as well without the
# correlations; of the demo's faults one fewer is found, 19, and its AUPRC is .934 in place of .947.
RIDGE, LATENT_RIDGE = 0.1, 0.01
# A feature that is reconstructed better than this (in its standard deviations) counts as reconstructed this well.
PRECISION = 0.02
# A feature with heavy tails is measured by them: by the size that this share of its whitened residuals exceeds, or
# so few of them, against a gaussian's. A feature whose residuals are steadier than this share of one is not blown up.
# Tables and servers rank as well without. It is for the threshold's sake: else one jump of one feature in training sets
# it, and of the demo's faults one fewer is found, 19.
TAIL, TAIL_ROWS, STEADIEST = 0.001, 4, 0.3
# What the inner rows say of a feature is believed until all rows, but for those few, spread more than this.
WILDEST = 10.0
# Beyond so many features the correlations are left alone: their matrix costs more than the network (`--parts cost`).
WIDE = 256
# Far below any error: only keeps logarithms finite.
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LatentBounds:
    """The ellipsoid of normal latent vectors, for each of M members.

    `center` (M, 1, k), `whitening` (M, k, k), `offset` (M, 1, k): the border lies where the norm of
    latent @ whitening + offset is 1.
    """

    center: Floats
    whitening: Floats
    offset: Floats

    @classmethod
    def fit(cls, latents: Sequence[Matrix]) -> Self:
        """Learn from each member's latent vectors of rows it has seen, (n, k) each."""
        centers, whitenings, offsets = [], [], []
        for latent in latents:
            inner = latent
            for _ in range(REFITS + 1):
                center = inner.mean(axis=0)
                covariance = (inner - center).T @ (inner - center) / len(inner)
                whitening = _inverse_root(covariance, LATENT_RIDGE * max(np.trace(covariance) / len(covariance), 1e-6))
                distance = np.linalg.norm((latent - center) @ whitening, axis=1)
                inner = latent[distance <= np.quantile(distance, INNER)]
            whitening /= max(float(np.quantile(distance, INSIDE)), TINY)
            centers.append(center[None])
            whitenings.append(whitening)
            offsets.append(-center[None] @ whitening)
        return cls(*(_float32(np.stack(parts)) for parts in (centers, whitenings, offsets)))

    def apply(self, latent: Floats) -> Floats:
        """Draw latent vectors outside back to the border, towards the centre: (M, B, k) -> (M, B, k)."""
        return drawn(latent, layer(latent, self.whitening, self.offset), self.center)

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        return {"center": self.center, "whitening": self.whitening, "offset": self.offset}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `arrays` returned."""
        return cls(*(arrays[name] for name in ("center", "whitening", "offset")))


def drawn(latent: Floats, apart: Floats, center: Floats) -> Floats:
    """Draw latent vectors to the border where their whitened ones, `apart`, are longer than 1; all of one shape."""
    squares = np.einsum("...k,...k->...", apart, apart)
    far = np.nonzero(squares > 1.0)
    within, middle = latent.copy(), np.broadcast_to(center, latent.shape)[far]
    within[far] = middle + (latent[far] - middle) / np.sqrt(squares[far])[:, None]
    return within


@dataclass(frozen=True, slots=True)
class ResidualScore:
    """Root mean square of the whitened residual; the geometric mean of it over M members.

    Whitened is divided by the standard deviation, and by how far the tails reach against a gaussian's.
    The whitening is the one that stays closest to the features themselves (ZCA-cor, Kessy et al. 2018), so that
    each of its d outputs still belongs to one feature. `whitening` (d, d), or (1, d) for many features, and
    `offset` (1, d): whitened = residual @ whitening + offset. `spread` (d,): of each feature's residuals.
    """

    whitening: Floats
    offset: Floats
    spread: Floats

    @classmethod
    def fit(cls, residuals: Sequence[Matrix]) -> Self:
        """Learn from the residuals of the rows that each member has not seen, (n, d) each.

        All of them together: a level that moved once, in the stretch that one member did not see, would seem fixed to
        that member, and any move of it an outrage.

        The outer rows do not count, as in a trimmed covariance (Rousseeuw and Van Driessen 1999), but outer is a row
        with many features off, by the mean of log(1 + whitened^2). By the mean square it would also be every row in
        which one feature jumps, and jumping now and then is what some features do. A feature that moves in outer rows
        alone would seem fixed: there the spread of all rows has a word.
        """
        together = np.concatenate(residuals)
        inner = together
        for _ in range(REFITS + 1):
            center = inner.mean(axis=0, keepdims=True)
            whitening = _whitening(inner - center)
            white = _apply(whitening, together - center)
            off = np.log1p(white**2).mean(axis=1)
            inner = together[off <= np.quantile(off, INNER)]
        reach = tails(white[off <= np.quantile(off, MOST)])
        whitening = whitening / np.maximum(reach, _usual(white) / WILDEST)
        return cls(*map(_float32, (whitening, -_apply(whitening, center), together.std(axis=0) + PRECISION)))

    def whiten(self, residual: Floats) -> Floats:
        """(M, B, d) -> (M, B, d)."""
        if self.whitening.shape[0] == 1:
            return residual * self.whitening + self.offset
        rows = residual.reshape(-1, residual.shape[2])
        return layer(rows, self.whitening, self.offset).reshape(residual.shape)

    def member_errors(self, residual: Floats) -> Matrix:
        """The error of each record by each member: (M, B, d) -> (M, B)."""
        white = self.whiten(residual)
        norm: Matrix = np.sqrt(np.einsum("mbd,mbd->mb", white, white).astype(np.float64) / residual.shape[2])
        return np.maximum(norm, TINY, out=norm)

    def error(self, residual: Floats) -> Vector:
        """The error of each record: (M, B, d) -> (B,), finite and above 0."""
        error: Vector = np.exp(np.log(self.member_errors(residual)).mean(axis=0))
        return error

    def squares(self, residual: Floats) -> Floats:
        """How far each feature is from what each member expects of it, squared: (M, B, d) -> (M, B, d).

        In its usual spreads. Neither whitened nor measured by its tails: that tells records apart better and features
        worse, since it spreads what one feature does over those that usually move with it.
        """
        spreads: Floats = residual / self.spread
        return np.square(spreads, out=spreads)

    def weighted(self, weights: Vector) -> Self:
        """The same, with the features (d,) counting by their weights."""
        factor = weights.astype(np.float32)
        return type(self)(self.whitening * factor, self.offset * factor, self.spread / factor)

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        names = ("whitening", "offset", "spread")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `arrays` returned."""
        return cls(*(arrays[name] for name in ("whitening", "offset", "spread")))


def _whitening(centred: Matrix) -> Matrix:
    """Return the matrix (d, d) that makes rows (n, d) uncorrelated and of spread 1, or their factors (1, d) if wide."""
    spread: Matrix = centred.std(axis=0) + PRECISION
    if centred.shape[1] > WIDE:
        return 1.0 / spread[None]
    scaled = centred / spread
    return _inverse_root(scaled.T @ scaled / len(scaled), RIDGE) / spread[:, None]


def _inverse_root(covariance: Matrix, ridge: float) -> Matrix:
    """The symmetric inverse square root of a covariance whose eigenvalues are raised by `ridge`."""
    values, vectors = np.linalg.eigh(covariance)
    root: Matrix = (vectors / np.sqrt(np.maximum(values, 0.0) + ridge)) @ vectors.T
    return root


def _apply(whitening: Matrix, rows: Matrix) -> Matrix:
    white: Matrix = rows * whitening if len(whitening) == 1 else rows @ whitening
    return white


def _usual(white: Matrix) -> Vector:
    """The root mean square of each feature, (n, d) -> (d,), but for its largest few values."""
    few = min(TAIL_ROWS, len(white) - 1)
    squares: Matrix = np.partition(white**2, len(white) - few - 1, axis=0)[: len(white) - few]
    usual: Vector = np.sqrt(squares.mean(axis=0))
    return usual


def tails(white: Matrix) -> Vector:
    """How far the tails of values in standard deviations (n, d) reach, as a multiple of a gaussian's, (d,)."""
    share = min(max(TAIL, TAIL_ROWS / len(white)), 0.5)
    reach: Vector = np.quantile(np.abs(white), 1.0 - share, axis=0)
    return np.maximum(reach / NormalDist().inv_cdf(1.0 - share / 2.0), STEADIEST)


def _float32(array: Matrix) -> Floats:
    return array.astype(np.float32)
