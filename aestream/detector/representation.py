"""The network behind `encode` and `denoise`: its latent size and noise are the user's, its fit is for copying well."""

from collections.abc import Callable

import numpy as np

from aestream.models.fit import fit
from aestream.models.skip import SkipAutoencoder
from aestream.networks.base import TrainedNetwork
from aestream.networks.progress import Progress
from aestream.types import Floats

# Units of each hidden layer, by `tests.bench.quality --parts reduction,denoising`.
HIDDEN = 128
# Every tenth row is not learnt from: it tells which weights to keep. More than so many rows tell no more.
HELD_OUT = 10
VALIDATION_ROWS = 2_000


def represent(
    rows: Floats,
    *,
    latent_size: int | None,
    noise: float | None,
    steps: int,
    seed: int,
    progress: Callable[[Progress], None] | None = None,
) -> TrainedNetwork:
    """Train one network to return (n, d) scaled rows from `latent_size` numbers, and without noise.

    Without a latent size the latent vector has as many numbers as there are features, and nothing but noise is lost.
    Unlike the detector's fit this one learns every row, the rare ones too. Where training gains nothing on the rows
    held out, the linear maps of the start stay: principal components, or the Wiener filter.

    Args:
        rows: scaled features.
        latent_size: length of the latent vector; None: the number of features.
        noise: standard deviations of a feature that the network learns to remove; None: none.
        steps: batches.
        seed: of weights, batches and noise.
        progress: called as `fit` calls it.

    """
    model = SkipAutoencoder(
        features=rows.shape[1], latent_size=latent_size or rows.shape[1], hidden=HIDDEN, members=1, seed=seed
    )
    numbers = np.arange(len(rows))
    unseen, seen = numbers[HELD_OUT // 2 :: HELD_OUT], numbers[numbers % HELD_OUT != HELD_OUT // 2]
    unseen = unseen[:: -(-len(unseen) // VALIDATION_ROWS)]
    model.start(rows[seen], noise or 0.0)
    fit(
        model,
        rows,
        seen[None],
        unseen[None],
        steps=steps,
        noise=noise or 0.0,
        validation_noise=noise or 0.0,
        seed=seed,
        trim=0.0,
        patience=steps,
        progress=progress,
    )
    return model.trained()
