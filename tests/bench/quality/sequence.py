"""What the networks that know the order of a window's rows have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aestream.detector.residuals import LatentBounds
from aestream.models.base import Autoencoder, state
from aestream.models.dense import DenseAutoencoder, draw
from aestream.networks.base import TrainedNetwork
from aestream.types import Floats


class SequenceAutoencoder(Autoencoder):
    """A window as L rows of d / L features. What a member is shown is what the dense network shows it."""

    shown: Tensor  # (M, d + c, 1), 1 for an input that a member sees, else 0

    def __init__(self, *, rows: int = 1, context: int = 0, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.rows, self.context, self.width = rows, context, self.features // rows
        self.register_buffer("shown", DenseAutoencoder(rows=rows, context=context, **sizes).shown)

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that build an untrained copy, as JSON types."""
        return {**super().config(), "rows": self.rows, "context": self.context}

    def seen(self, inputs: Tensor) -> Tensor:
        """(B, d + c) or (M, B, d + c) -> the rows that each member sees, with the context, (M, B, L, d / L + c)."""
        seen = inputs.expand(self.members, -1, -1) * self.shown.transpose(1, 2)
        window = seen[..., : self.features].reshape(*seen.shape[:2], self.rows, self.width)
        context = seen[..., self.features :].unsqueeze(2).expand(-1, -1, self.rows, -1)
        return torch.cat([window, context], dim=3)

    def trained(self) -> TrainedNetwork:
        """Return the network as it is: the product has nothing else that runs it."""
        return RunByTorch(self)

    def dense(self, ins: int, out: int, generator: torch.Generator) -> nn.ParameterList:
        """Draw the weights (M, ins, out) and the biases (M, 1, out) of a dense layer."""
        return nn.ParameterList(draw((self.members, size, out), ins, generator) for size in (ins, 1))


def product(layer: nn.ParameterList, inputs: Tensor) -> Tensor:
    """Put (M, n, ins) through a dense layer -> (M, n, out)."""
    return torch.baddbmm(layer[1], inputs, layer[0])


class RunByTorch(TrainedNetwork):
    """A trained network that only torch can run."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__(state(model), **model.config())
        self._model = model

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of the weights, by name: whatever they are."""
        return {name: array.shape for name, array in self.weights.items()}

    @torch.inference_mode()
    def encode(self, inputs: Floats) -> Floats:
        """(B, d + c) or (M, B, d + c) -> (M, B, latent)."""
        latent: Floats = self._model.encode(torch.from_numpy(inputs)).numpy()
        return latent

    @torch.inference_mode()
    def decode(self, latent: Floats) -> Floats:
        """(M, B, latent) -> (M, B, d)."""
        rebuilt: Floats = self._model.decode(torch.from_numpy(latent.copy())).numpy()
        return rebuilt


class MeanOfMembers:
    """The mean reconstruction of members of any kind, computed one by one: stands in for `detector.merged.Merged`."""

    def __init__(self, model: TrainedNetwork, bounds: LatentBounds) -> None:
        self.model, self.bounds = model, bounds

    def latent(self, inputs: Floats) -> Floats:
        """(B, d + c) -> latent vectors within the bounds, (B, M, k)."""
        return self.bounds.apply(self.model.encode(inputs)).transpose(1, 0, 2)

    def __call__(self, inputs: Floats) -> Floats:
        """(B, d + c) -> the mean reconstruction (B, d)."""
        rebuilt: Floats = self.model.decode(self.latent(inputs).transpose(1, 0, 2)).mean(axis=0)
        return rebuilt
