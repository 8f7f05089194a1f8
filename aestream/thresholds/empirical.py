"""How many held-out errors lie beyond a level: the part of a threshold that makes no assumptions."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.types import Vector

# This many of the largest errors are kept one by one; below them, each of the sparse levels covers up to 2 % more.
EXACT, SPARSE = 1000, 500
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Empirical:
    """`levels` (g,): ascending errors of the sample; `chances` (g,): of a larger error than each in a new record.

    The chance is (1 + errors beyond) / (1 + n), which holds for any distribution (conformal prediction, Vovk et al.
    2005). An error between two levels counts as the lower one, so that no chance is too small.
    """

    levels: Vector
    chances: Vector

    @classmethod
    def fit(cls, errors: Vector) -> Self:
        """Learn from (n,) errors, in any order."""
        ordered = np.sort(np.maximum(errors, TINY))
        count = len(ordered)
        places = np.arange(min(count, EXACT))
        if count > EXACT:
            places = np.concatenate([places, np.geomspace(EXACT, count - 1, SPARSE).astype(int)])
        levels = np.unique(ordered[count - 1 - places])
        beyond = count - np.searchsorted(ordered, levels, side="right")
        chances: Vector = (beyond + 1) / np.float64(count + 1)
        return cls(levels, chances)

    def level(self, chance: float) -> float:
        """Return the lowest level that a new record exceeds with at most this chance."""
        return float(self.levels[int(np.argmax(self.chances <= chance * (1 + 1e-9)))])

    def p_value(self, errors: Vector) -> Vector:
        """Return the chance that a normal record has an error this large or larger, (n,) -> (n,)."""
        chances = np.concatenate([[1.0], self.chances])
        p_values: Vector = chances[np.searchsorted(self.levels, errors, side="left")]
        return p_values
