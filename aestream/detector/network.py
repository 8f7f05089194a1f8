"""The network with its bounds and what counts: the one look at rows that learning, judging and explaining take."""

from dataclasses import dataclass, replace

import numpy as np

from aestream.detector.deviations import Deviations, EveryDeviation
from aestream.detector.residuals import LatentBounds
from aestream.networks.base import TrainedNetwork
from aestream.types import Flags, Floats, Matrix

# Rows looked at together: what fits into a core's cache. With half or twice as many a record costs as much
# (`tests.bench.quality --parts cost`).
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What M members make of B rows of w inputs.

    `inputs` (B, w); `latent` (M, B, k) and `rebuilt` (M, B, w), from within the bounds; `counts` (B, w): which inputs
    deviate in a way that counts.
    """

    inputs: Floats
    latent: Floats
    rebuilt: Floats
    counts: Flags

    @property
    def expected(self) -> Floats:
        """What the members expect on the whole, (B, w)."""
        expected: Floats = self.rebuilt.mean(axis=0)
        return expected

    @property
    def residuals(self) -> Floats:
        """What each member leaves of the rows, (M, B, w), with 0 where it does not count."""
        left = self.inputs - self.rebuilt
        left *= self.counts
        return left

    @property
    def counting_inputs(self) -> Floats:
        """The rows, (B, w), with what is expected where an input does not count."""
        return self.without(~self.counts)

    def without(self, inputs: Flags) -> Floats:
        """The rows, (B, w), with what is expected in place of these inputs, a mask (B, w)."""
        return np.where(inputs, self.expected, self.inputs)

    def any_counts(self) -> Flags:
        """Which rows have an input that counts, (B,)."""
        flags: Flags = np.any(self.counts, axis=1)
        return flags


@dataclass(frozen=True, slots=True)
class Network:
    """An autoencoder that draws latent vectors back into their usual bounds, and knows which deviations count."""

    model: TrainedNetwork
    bounds: LatentBounds
    deviations: Deviations | EveryDeviation

    def look(self, matrix: Matrix, inputs: Floats) -> Look:
        """Look at rows, (B, d) in the user's units and (B, w) as inputs: without what does not count."""
        latent, rebuilt = self._rebuild(inputs)
        rebuilt, counts = self.deviations.settle(self.reconstruct, matrix, inputs, rebuilt)
        return Look(inputs, latent, rebuilt, counts)

    def look_past(self, off: Flags, look: Look, matrix: Matrix) -> Look:
        """Look at the same rows once more without the inputs that are `off`, a mask (B, w)."""
        rebuilt = self.reconstruct(look.without(off | ~look.counts))
        counts = self.deviations.still(look.counts, matrix, rebuilt)
        return replace(look, rebuilt=rebuilt, counts=counts)

    def reconstruct(self, inputs: Floats) -> Floats:
        """(B, w) -> reconstructions from within the bounds (M, B, w)."""
        return self._rebuild(inputs)[1]

    def _rebuild(self, inputs: Floats) -> tuple[Floats, Floats]:
        latent = self.model.encode(inputs)
        return latent, self.model.decode(self.bounds.apply(latent))


def represented(model: TrainedNetwork, inputs: Floats) -> tuple[Matrix, Matrix]:
    """The latent vectors (n, k) and the reconstructions (n, w) of rows (n, w), by the first member."""
    latent, rebuilt = np.empty((len(inputs), model.latent_size)), np.empty(inputs.shape)
    for start in range(0, len(inputs), CHUNK):
        place = slice(start, start + CHUNK)
        code = model.encode(inputs[place])
        latent[place], rebuilt[place] = code[0], model.decode(code).mean(axis=0)
    return latent, rebuilt
