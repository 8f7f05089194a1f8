"""The generalised Pareto distribution, which the excesses over a high level follow (Pickands 1975)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.types import Vector

# With fewer excesses than this, no shape is estimated.
LEAST = 5
# The prior of the shape: it weighs as much as ten excesses of shape 0.5 (Vehtari et al. 2024).
PRIOR_SHAPE, PRIOR_RECORDS = 0.5, 10
# A tail that ends (shape below 0) is not believed, nor is one without a mean (shape above 1).
SHAPES = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Pareto:
    """P(excess >= y) = (1 + shape y / scale) ** (-1 / shape), or exp(-y / scale) for shape 0."""

    scale: float
    shape: float

    @classmethod
    def fit(cls, excess: Vector, *, least_scale: float) -> Self:
        """Fit to (m,) ascending excesses > 0 by the posterior mean of Zhang and Stephens (2009)."""
        if len(excess) < LEAST:
            return cls(max(float(excess.mean()) if len(excess) else 0.0, least_scale), 0.0)
        unit = float(excess.mean())
        scale, shape = _posterior_mean(excess / unit)
        shape = (len(excess) * shape + PRIOR_RECORDS * PRIOR_SHAPE) / (len(excess) + PRIOR_RECORDS)
        if shape < SHAPES[0]:
            scale, shape = 1.0, SHAPES[0]
        elif shape > SHAPES[1]:
            scale, shape = float(np.median(excess)) / unit, SHAPES[1]
        return cls(max(scale * unit, least_scale), shape)

    def beyond(self, excess: Vector) -> Vector:
        """Return the chance of an excess as large or larger, (n,) -> (n,)."""
        with np.errstate(over="ignore", under="ignore"):
            ratio = excess / self.scale
            logs = -ratio if self.shape == 0 else -np.log1p(self.shape * ratio) / self.shape
            chances: Vector = np.exp(logs)
        return chances

    def level(self, chance: float) -> float:
        """Return the excess that is exceeded with this chance."""
        log = -float(np.log(chance))
        return self.scale * (log if self.shape == 0 else float(np.expm1(self.shape * log)) / self.shape)

    def stretched(self, factor: float) -> "Pareto":
        """Return the distribution of excesses that are `factor` times as large."""
        return Pareto(self.scale * factor, self.shape)


def _posterior_mean(excess: Vector) -> tuple[float, float]:
    """Scale and shape of (m,) ascending excesses with a mean of 1."""
    count = len(excess)
    grid = 30 + int(count**0.5)
    theta = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    theta = 1.0 / excess[-1] + theta / (3.0 * excess[(count + 2) // 4 - 1])
    theta = theta[theta != 0.0]  # the exponential distribution itself: its neighbours represent it
    shapes = np.log1p(-theta[:, None] * excess).mean(axis=1)
    likelihood = count * (np.log(-theta / shapes) - shapes - 1.0)
    weight = np.exp(likelihood - likelihood.max())
    mean = float(theta @ weight / weight.sum())
    shape = float(np.log1p(-mean * excess).mean())
    return -shape / mean, shape
