"""The members of an ensemble as one network: judging needs only the mean of what they reconstruct."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from aestream.detector.residuals import LatentBounds
from aestream.models.dense import DenseAutoencoder


@dataclass(frozen=True, slots=True)
class Merged:
    """The mean reconstruction of M dense members with h hidden units and k latent numbers each.

    The first and the last layer are linear in what all members share, so one product does each for all of them. The
    small layers between them become one matrix with a block for each member.
    """

    model: DenseAutoencoder
    bounds: LatentBounds
    into: tuple[Tensor, Tensor] = field(init=False, repr=False)  # (1, M h) and (d + c, M h)
    code: tuple[Tensor, Tensor] = field(init=False, repr=False)  # (1, M k) and (M h, M k)
    border: tuple[Tensor, Tensor] = field(init=False, repr=False)  # (1, M k) and (M k, M k)
    back: tuple[Tensor, Tensor] = field(init=False, repr=False)  # (1, M h) and (M k, M h)
    out: tuple[Tensor, Tensor] = field(init=False, repr=False)  # (1, d) and (M h, d)

    @torch.no_grad()
    def __post_init__(self) -> None:
        """Lay out the weights."""
        weights, biases = self.model.weights, self.model.biases
        parts = {
            "into": (biases[0].flatten()[None], (weights[0] * self.model.shown).transpose(0, 1).flatten(1)),
            "code": (biases[1].flatten()[None], _blocks(weights[1])),
            "border": (self.bounds.offset.flatten()[None], _blocks(self.bounds.whitening)),
            "back": (biases[2].flatten()[None], _blocks(weights[2])),
            "out": (biases[3].mean(dim=0), weights[3].flatten(0, 1) / self.model.members),
        }
        for name, (bias, weight) in parts.items():
            object.__setattr__(self, name, (bias.contiguous(), weight.contiguous()))

    def latent(self, inputs: Tensor) -> Tensor:
        """(B, d + c) -> latent vectors within the bounds, (B, M, k)."""
        hidden = torch.addmm(self.into[0], inputs, self.into[1]).relu_()
        code = torch.addmm(self.code[0], hidden, self.code[1])
        shape = (len(inputs), self.model.members, -1)
        distance = torch.linalg.vector_norm(
            torch.addmm(self.border[0], code, self.border[1]).view(shape), dim=2, keepdim=True
        )
        center = self.bounds.center.transpose(0, 1)  # (1, M, k)
        return torch.lerp(center, code.view(shape), distance.clamp_(min=1.0).reciprocal_())

    def __call__(self, inputs: Tensor) -> Tensor:
        """(B, d + c) -> the mean reconstruction (B, d)."""
        hidden = torch.addmm(self.back[0], self.latent(inputs).flatten(1), self.back[1]).relu_()
        return torch.addmm(self.out[0], hidden, self.out[1])


def _blocks(members: Tensor) -> Tensor:
    """One matrix with a block for each member, (M, a, b) -> (M a, M b)."""
    count, ins, outs = members.shape
    whole, numbers = torch.zeros(count, ins, count, outs), torch.arange(count)
    whole[numbers, :, numbers] = members
    return whole.view(count * ins, count * outs)
