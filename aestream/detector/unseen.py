"""Categories that training has not seen: they are taken for the likeliest seen ones, and alone flag nothing.

Their own input would say "none of these", which is far from all that training has seen, whatever the category means.
"""

from collections.abc import Callable

import numpy as np

from aestream.detector.network import CHUNK
from aestream.features.encoder import FeatureEncoder
from aestream.types import Floats, Matrix


def likeliest(matrix: Matrix, encoder: FeatureEncoder, model: Callable[[Floats], Floats]) -> Matrix:
    """Replace unseen categories in (n, d) rows by what the members expect from the rest of the row -> (n, d).

    `model` is scaled rows (B, w) to reconstructions (M, B, w). The same matrix comes back if it has none.
    """
    unseen = encoder.schema.unseen(matrix)
    if not unseen.any():
        return matrix
    known = matrix.copy()
    odd = np.flatnonzero(unseen.any(axis=1))
    for start in range(0, len(odd), CHUNK):
        place = odd[start : start + CHUNK]
        rows, mask = matrix[place], unseen[place]
        inputs = np.where(encoder.by_input(mask), 0.0, encoder.transform(rows))  # 0: as if nothing were known of it
        expected = model(inputs.astype(np.float32)).mean(axis=0)
        known[place] = np.where(mask, encoder.inverse(expected.astype(np.float64), rows), rows)
    return known
