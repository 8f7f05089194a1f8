"""What is off in a window, over several numbers of its newest rows."""

import torch
from torch import Tensor

# What is off is looked for over so many of the newest rows, each time over all of them.
HORIZONS = (1, 2, 3, 5, 7, 10)


def over_horizons(squares: Tensor) -> Tensor:
    """The mean over the horizons of the root mean square over the newest rows, from squares (..., L, w) -> (..., w)."""
    rows = squares.shape[-2]
    horizons = {horizon for horizon in HORIZONS if horizon < rows} | {rows}
    together = torch.zeros_like(squares[..., 0, :])
    mean = torch.zeros_like(together)
    for back in range(1, rows + 1):
        together += squares[..., -back, :]
        if back in horizons:
            mean += (together / back).sqrt_()
    return mean.div_(len(horizons))
