"""What is off in a window, over several numbers of its newest rows."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating)

# What is off is looked for over so many of the newest rows, each time over all of them.
HORIZONS = (1, 2, 3, 5, 7, 10)


def over_horizons(squares: NDArray[Real]) -> NDArray[Real]:
    """The mean over the horizons of the root mean square over the newest rows, from squares (..., L, w) -> (..., w)."""
    rows = squares.shape[-2]
    horizons = {horizon for horizon in HORIZONS if horizon < rows} | {rows}
    together = np.zeros_like(squares[..., 0, :])
    mean, root = np.zeros_like(together), np.empty_like(together)
    for back in range(1, rows + 1):
        together += squares[..., -back, :]
        if back in horizons:
            mean += np.sqrt(np.divide(together, back, out=root), out=root)
    mean /= len(horizons)
    return mean
