"""Why a record was flagged: each feature's share of the error, and what was expected instead."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attribution:
    """For m records of d features: (m, d) each, `observed` and `expected` in the user's units."""

    observed: Matrix
    expected: Matrix
    share: Matrix


def shares(contributions: Matrix) -> Matrix:
    """Turn contributions >= 0, (m, d), into shares that sum to 1 per row; equal shares where there is no error."""
    totals = contributions.sum(axis=1, keepdims=True)
    equal = np.full_like(contributions, 1.0 / contributions.shape[1])
    parts: Matrix = np.divide(contributions, totals, out=equal, where=totals > 0)
    return parts
