"""The dense autoencoder, d -> hidden -> latent -> hidden -> d, with a few members in one batched product."""

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aestream.models.base import Autoencoder
from aestream.networks.dense import TrainedDense

# The share of the features that is hidden from a member (`tests.bench.quality --parts constants`).
HIDDEN_SHARE = 0.4


class DenseAutoencoder(Autoencoder):
    """Two dense layers down to the latent vector and two back up, for each member.

    Each member sees a part of the features and reconstructs all of them: the others it has to infer, and cannot copy.
    Of a window it does not see a hidden feature in any row. The context is shown to every member. The members differ in
    what they see, in their initial weights, and in the rows that they learn from. The activation is ReLU, because it
    costs a tenth of GELU and detects no less.
    """

    kind: ClassVar[str] = TrainedDense.kind
    shown: Tensor  # (M, d + c, 1), 1 for an input that a member sees, else 0

    def __init__(
        self,
        *,
        features: int,
        latent_size: int,
        hidden: int,
        members: int,
        seed: int,
        rows: int = 1,
        context: int = 0,
    ) -> None:
        super().__init__(features=features, latent_size=latent_size, hidden=hidden, members=members, seed=seed)
        self.rows, self.context = rows, context
        generator = torch.Generator().manual_seed(seed)
        sizes = tuple(pairwise((features + context, hidden, latent_size, hidden, features)))
        self.weights = nn.ParameterList(draw((members, fan_in, out), fan_in, generator) for fan_in, out in sizes)
        self.biases = nn.ParameterList(draw((members, 1, out), fan_in, generator) for fan_in, out in sizes)
        shown = _shown(members, features // rows, generator).repeat(1, rows, 1)
        self.register_buffer("shown", torch.cat([shown, torch.ones(members, context, 1)], dim=1))

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that build an untrained copy, as JSON types."""
        return {**super().config(), "rows": self.rows, "context": self.context}

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, d + c) or (M, B, d + c) -> (M, B, latent)."""
        return torch.baddbmm(self.biases[1], self.first_layer(inputs), self.weights[1])  # (M, B, latent)

    def first_layer(self, inputs: Tensor) -> Tensor:
        """(B, d + c) or (M, B, d + c) -> (M, B, hidden), from the inputs that each member sees."""
        return torch.baddbmm(self.biases[0], inputs.expand(self.members, -1, -1), self.weights[0] * self.shown).relu_()

    def decode(self, latent: Tensor) -> Tensor:
        """(M, B, latent) -> (M, B, d)."""
        hidden = torch.baddbmm(self.biases[2], latent, self.weights[2]).relu_()  # (M, B, hidden)
        return torch.baddbmm(self.biases[3], hidden, self.weights[3])  # (M, B, d)


def draw(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> nn.Parameter:
    """Draw weights from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's own default for dense layers."""
    return nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) / fan_in**0.5)


def _shown(members: int, features: int, generator: torch.Generator) -> Tensor:
    """Choose the features that each member sees, (M, d, 1); each feature is hidden equally often."""
    hidden = round(HIDDEN_SHARE * features)
    places = torch.randperm(features, generator=generator)[torch.arange(members * hidden) % features]
    return torch.ones(members, features).scatter_(1, places.view(members, hidden), 0.0)[:, :, None]
