"""The trained network with a linear map beside each half: see `aestream.models.skip` for what it is."""

from itertools import pairwise
from typing import ClassVar

from aestream.networks.base import TrainedNetwork, layer, relu
from aestream.types import Floats


class TrainedSkip(TrainedNetwork):
    """Encoder and decoder are each a linear map plus a network of two hidden layers."""

    kind: ClassVar[str] = "skip"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of the weights, by name."""
        count, ends = self.members, (self.features, self.latent_size)
        shapes: dict[str, tuple[int, ...]] = {"into": (count, *ends), "back": (count, *ends[::-1])}
        for half, (first, last) in (("encoder", ends), ("decoder", ends[::-1])):
            for i, (ins, outs) in enumerate(pairwise((first, self.hidden, self.hidden, last))):
                shapes[f"{half}.weights.{i}"], shapes[f"{half}.biases.{i}"] = (count, ins, outs), (count, 1, outs)
        return shapes

    def encode(self, inputs: Floats) -> Floats:
        """(B, d) or (M, B, d) -> (M, B, latent)."""
        return self._half("encoder", inputs) + inputs @ self.weights["into"]

    def decode(self, latent: Floats) -> Floats:
        """(M, B, latent) -> (M, B, d)."""
        return self._half("decoder", latent) + latent @ self.weights["back"]

    def _half(self, half: str, inputs: Floats) -> Floats:
        own = self.weights
        first, second, last = ((own[f"{half}.weights.{i}"], own[f"{half}.biases.{i}"]) for i in range(3))
        return layer(relu(layer(relu(layer(inputs, *first)), *second)), *last)
