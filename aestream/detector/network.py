"""The network with its bounds and what counts: the one look at rows that learning, judging and explaining take."""

from dataclasses import dataclass, replace

from torch import Tensor

from aestream.detector.deviations import Deviations, EveryDeviation
from aestream.detector.residuals import LatentBounds
from aestream.models.base import Autoencoder
from aestream.types import Flags, Matrix

# Rows looked at together: what fits into a core's cache. With half or twice as many a record costs as much
# (`tests.bench.quality --parts cost`).
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What M members make of B rows of w inputs.

    `inputs` (B, w); `latent` (M, B, k) and `rebuilt` (M, B, w), from within the bounds; `counts` (B, w): which inputs
    deviate in a way that counts.
    """

    inputs: Tensor
    latent: Tensor
    rebuilt: Tensor
    counts: Tensor

    @property
    def expected(self) -> Tensor:
        """What the members expect on the whole, (B, w)."""
        return self.rebuilt.mean(dim=0)

    @property
    def residuals(self) -> Tensor:
        """What each member leaves of the rows, (M, B, w), with 0 where it does not count."""
        return (self.inputs - self.rebuilt).mul_(self.counts)

    @property
    def counting_inputs(self) -> Tensor:
        """The rows, (B, w), with what is expected where an input does not count."""
        return self.without(~self.counts)

    def without(self, inputs: Tensor) -> Tensor:
        """The rows, (B, w), with what is expected in place of these inputs, a mask (B, w)."""
        return self.expected.where(inputs, self.inputs)

    def any_counts(self) -> Flags:
        """Which rows have an input that counts, (B,)."""
        flags: Flags = self.counts.any(dim=1).numpy()
        return flags


@dataclass(frozen=True, slots=True)
class Network:
    """An autoencoder that draws latent vectors back into their usual bounds, and knows which deviations count."""

    model: Autoencoder
    bounds: LatentBounds
    deviations: Deviations | EveryDeviation

    def look(self, matrix: Matrix, inputs: Tensor) -> Look:
        """Look at rows, (B, d) in the user's units and (B, w) as inputs: without what does not count."""
        latent, rebuilt = self._rebuild(inputs)
        rebuilt, counts = self.deviations.settle(self.reconstruct, matrix, inputs, rebuilt)
        return Look(inputs, latent, rebuilt, counts)

    def look_past(self, off: Tensor, look: Look, matrix: Matrix) -> Look:
        """Look at the same rows once more without the inputs that are `off`, a mask (B, w)."""
        rebuilt = self.reconstruct(look.without(off | ~look.counts))
        counts = self.deviations.still(look.counts, matrix, rebuilt)
        return replace(look, rebuilt=rebuilt, counts=counts)

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """(B, w) -> reconstructions from within the bounds (M, B, w)."""
        return self._rebuild(inputs)[1]

    def _rebuild(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        latent = self.model.encode(inputs)
        return latent, self.model.decode(self.bounds.apply(latent))
