"""Why a record was flagged: each feature's share of what is off, and what was expected instead."""

from dataclasses import dataclass

import numpy as np

from aestream.types import Matrix


@dataclass(frozen=True, slots=True)
class Attribution:
    """For m records of d features: (m, d) each, `observed` and `expected` in the user's units.

    `deviation`: how far observed is from expected, as a multiple of how far it usually is. `share`: the part of each
    feature in the sum of their squares. Over many records of one incident, add up the squares. `since`: for how many
    records of the entity each feature has been off without a break, at most as many as a window has; 0 for one that is
    not. None where records are judged alone.
    """

    observed: Matrix
    expected: Matrix
    deviation: Matrix
    share: Matrix
    since: Matrix | None = None


def shares(squares: Matrix) -> Matrix:
    """Turn squared deviations (m, d) into shares that sum to 1 per row; equal shares where nothing deviates."""
    totals = squares.sum(axis=1, keepdims=True)
    equal = np.full_like(squares, 1.0 / squares.shape[1])
    parts: Matrix = np.divide(squares, totals, out=equal, where=totals > 0)
    return parts
