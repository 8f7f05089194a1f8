"""From residual and latent vector to one error per record, and how far each feature is off.

A plain reconstruction error misses records that are strange in a way the network can still follow: their latent
vector lies where no normal one does, and the decoder, asked far from what it learnt, may reconstruct them well. So
the latent vector is first drawn back to the border of the normal ones (`LatentBounds`); what is reconstructed
is then the nearest normal record, and the residual against it (`ResidualScore`) is large for both kinds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows: TypeAlias = npt.NDArray[np.float64]

# The border of the normal latent vectors: this share of the training rows lies within it.
INSIDE = 0.99
# The covariance of the latent vectors is refitted on this inner share of them, so that outliers do not widen it.
INNER, REFITS, LATENT_RIDGE = 0.9, 3, 0.01
# Correlations of residuals are shrunk by this factor towards none; their eigenvalues get this much more.
SHRINKAGE, RIDGE = 0.3, 0.02
# A feature that is reconstructed better than this (in its standard deviations) counts as reconstructed this well.
PRECISION = 0.02
# A feature with heavy tails is measured by them: by the size that this share of its whitened residuals exceeds, or
# so few of them, against a gaussian's. A feature whose residuals are steadier than this share of one is not blown up.
TAIL, TAIL_ROWS, STEADIEST = 0.001, 4, 0.3
# Beyond so many features the correlations are left alone: their matrix costs more than the network.
WIDE = 256
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LatentBounds:
    """The ellipsoid of normal latent vectors, for each of M members.

    `center` (M, 1, k), `whitening` (M, k, k), `offset` (M, 1, k): the border lies where the norm of
    latent @ whitening + offset is 1.
    """

    center: Tensor
    whitening: Tensor
    offset: Tensor

    @classmethod
    def fit(cls, latents: Sequence[Rows]) -> Self:
        """Learn from each member's latent vectors of rows it has seen, (n, k) each."""
        centers, whitenings, offsets = [], [], []
        for latent in latents:
            inner = latent
            for _ in range(REFITS + 1):
                center = inner.mean(axis=0)
                whitening = _whitening(_covariance(inner - center), LATENT_RIDGE, relative=True)
                distance = np.linalg.norm((latent - center) @ whitening, axis=1)
                inner = latent[distance <= np.quantile(distance, INNER)]
            whitening /= max(float(np.quantile(distance, INSIDE)), TINY)
            centers.append(center[None])
            whitenings.append(whitening)
            offsets.append(-center[None] @ whitening)
        return cls(_float32(centers), _float32(whitenings), _float32(offsets))

    def apply(self, latent: Tensor) -> Tensor:
        """Draw latent vectors outside back to the border, towards the centre: (M, B, k) -> (M, B, k)."""
        distance = torch.linalg.vector_norm(  # (M, B, 1), 1 at the border
            torch.baddbmm(self.offset, latent, self.whitening), dim=2, keepdim=True
        )
        return torch.lerp(self.center, latent, distance.clamp_(min=1.0).reciprocal_())

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return what `from_arrays` reads."""
        return {"center": self.center.numpy(), "whitening": self.whitening.numpy(), "offset": self.offset.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.float32]]) -> Self:
        """Read what `arrays` returned."""
        return cls(*(torch.from_numpy(arrays[name]) for name in ("center", "whitening", "offset")))


@dataclass(frozen=True, slots=True)
class ResidualScore:
    """Root mean square of the whitened residual; the geometric mean of it over M members.

    Whitened is divided by the standard deviation, and by how far the tails reach against a gaussian's.
    The whitening is the one that stays closest to the features themselves (ZCA-cor, Kessy et al. 2018), so that
    each of its d outputs still belongs to one feature. `whitening` (M, d, d), or (M, 1, d) for many features, and
    `offset` (M, 1, d): whitened = residual @ whitening + offset. `spread` (d,): of each feature's residuals.
    """

    whitening: Tensor
    offset: Tensor
    spread: Tensor

    @classmethod
    def fit(cls, residuals: Sequence[Rows]) -> Self:
        """Learn from the residuals of the rows that each member has not seen, (n, d) each.

        A feature's spread is that of all of them: a level that moved once, in the stretch that one member did not
        see, would seem fixed to that member, and any move of it an outrage. The correlations of a member
        are learnt from the other members' rows, so that its own are held out from them.
        """
        together = np.concatenate(residuals)
        center = together.mean(axis=0, keepdims=True)
        spread = together.std(axis=0) + PRECISION
        if together.shape[1] > WIDE:
            scale = spread * tails((together - center) / spread)
            whitenings = [1.0 / scale[None]] * len(residuals)
            offsets = [-center / scale] * len(residuals)
            return cls(_float32(whitenings), _float32(offsets), _float32([spread])[0])
        whitenings = []
        for member in range(len(residuals)):
            others = np.concatenate([rows for other, rows in enumerate(residuals) if other != member])
            correlation = (1 - SHRINKAGE) * _covariance((others - center) / spread)
            np.einsum("ii->i", correlation)[:] += SHRINKAGE
            whitenings.append(_whitening(correlation, RIDGE, relative=False) / spread[:, None])
        white = [(own - center) @ whitening for own, whitening in zip(residuals, whitenings, strict=True)]
        reach = tails(np.concatenate(white))
        whitenings = [whitening / reach for whitening in whitenings]
        offsets = [-center @ whitening for whitening in whitenings]
        return cls(_float32(whitenings), _float32(offsets), _float32([spread])[0])

    def whiten(self, residual: Tensor) -> Tensor:
        """(M, B, d) -> (M, B, d)."""
        if self.whitening.shape[1] == 1 < residual.shape[2]:
            return torch.addcmul(self.offset, residual, self.whitening)
        return torch.baddbmm(self.offset, residual, self.whitening)

    def member_errors(self, residual: Tensor) -> Tensor:
        """The error of each record by each member: (M, B, d) -> (M, B), float64."""
        norm: Tensor = torch.linalg.vector_norm(self.whiten(residual), dim=2)
        return norm.double().div_(residual.shape[2] ** 0.5).clamp_(min=TINY)

    def error(self, residual: Tensor) -> Tensor:
        """The error of each record: (M, B, d) -> (B,), float64, finite and above 0."""
        return self.member_errors(residual).log().mean(dim=0).exp()

    def squares(self, residual: Tensor) -> Tensor:
        """How far each feature is from what was expected of it, squared: (M, B, d) -> (B, d), float64.

        In its usual spreads, and a mean over the members. Neither whitened nor measured by its tails: that tells
        records apart better and features worse, since it spreads what one feature does over those that usually move
        with it.
        """
        return (residual / self.spread).double().square().mean(dim=0)

    def weighted(self, weights: npt.NDArray[np.float64]) -> Self:
        """The same, with the features (d,) counting by their weights."""
        factor = torch.from_numpy(weights.astype(np.float32))
        return type(self)(self.whitening * factor, self.offset * factor, self.spread / factor)

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return what `from_arrays` reads."""
        names = ("whitening", "offset", "spread")
        return {name: getattr(self, name).numpy() for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.float32]]) -> Self:
        """Read what `arrays` returned."""
        return cls(*(torch.from_numpy(arrays[name]) for name in ("whitening", "offset", "spread")))


def _covariance(centred: Rows) -> Rows:
    covariance: Rows = centred.T @ centred / len(centred)
    return covariance


def _whitening(covariance: Rows, ridge: float, *, relative: bool) -> Rows:
    """The symmetric inverse square root of a covariance whose eigenvalues are raised by `ridge` (of their mean)."""
    values, vectors = np.linalg.eigh(covariance)
    raised = np.maximum(values, 0.0) + ridge * (max(values.mean(), 1e-6) if relative else 1.0)
    whitening: Rows = (vectors / np.sqrt(raised)) @ vectors.T
    return whitening


def tails(white: Rows) -> npt.NDArray[np.float64]:
    """How far the tails of values in standard deviations (n, d) reach, as a multiple of a gaussian's, (d,)."""
    share = min(max(TAIL, TAIL_ROWS / len(white)), 0.5)
    reach: npt.NDArray[np.float64] = np.quantile(np.abs(white), 1.0 - share, axis=0)
    return np.maximum(reach / NormalDist().inv_cdf(1.0 - share / 2.0), STEADIEST)


def _float32(members: Sequence[Rows]) -> Tensor:
    return torch.from_numpy(np.stack(members).astype(np.float32))
