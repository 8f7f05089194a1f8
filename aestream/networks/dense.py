"""The trained dense ensemble: see `aestream.models.dense` for what it is, and how it learns."""

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from aestream.networks.base import TrainedNetwork, layer, relu
from aestream.types import Arrays, Floats


class TrainedDense(TrainedNetwork):
    """Two dense layers down to the latent vector and two back up, for each member.

    `layers`: the weights (M, ins, outs) and the biases (M, 1, outs) of each, the first one without what a member does
    not see.
    """

    kind: ClassVar[str] = "dense"

    def __init__(self, weights: Arrays, **config: Any) -> None:
        super().__init__(weights, **config)
        own = self.weights
        first = own["weights.0"] * own["shown"]
        self.layers = ((first, own["biases.0"]), *((own[f"weights.{i}"], own[f"biases.{i}"]) for i in (1, 2, 3)))
        # All members see the same inputs: one product does the first layer of all of them, (d + c, M h).
        self._into = np.ascontiguousarray(first.transpose(1, 0, 2).reshape(first.shape[1], -1)), own["biases.0"].ravel()

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that build it from its weights, as JSON types."""
        return {**super().config(), "rows": self.rows, "context": self.context}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of the weights, by name."""
        count, ins = self.members, self.features + self.context
        sizes = tuple(pairwise((ins, self.hidden, self.latent_size, self.hidden, self.features)))
        return {
            **{f"weights.{i}": (count, *size) for i, size in enumerate(sizes)},
            **{f"biases.{i}": (count, 1, outs) for i, (_, outs) in enumerate(sizes)},
            "shown": (count, ins, 1),
        }

    def encode(self, inputs: Floats) -> Floats:
        """(B, d + c) or (M, B, d + c) -> (M, B, latent)."""
        if inputs.ndim == 2:  # noqa: PLR2004 - one batch for all
            wide = relu(layer(inputs, *self._into))
            hidden = wide.reshape(len(inputs), self.members, self.hidden).transpose(1, 0, 2)
        else:
            hidden = relu(layer(inputs, *self.layers[0]))
        return layer(hidden, *self.layers[1])

    def decode(self, latent: Floats) -> Floats:
        """(M, B, latent) -> (M, B, d)."""
        return layer(relu(layer(latent, *self.layers[2])), *self.layers[3])
