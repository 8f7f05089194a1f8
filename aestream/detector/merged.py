"""The members of an ensemble as one network: judging needs only the mean of what they reconstruct."""

from dataclasses import dataclass, field

import numpy as np

from aestream.detector.residuals import LatentBounds, drawn
from aestream.networks.base import layer, relu
from aestream.networks.dense import TrainedDense
from aestream.types import Floats


@dataclass(frozen=True, slots=True)
class Merged:
    """The mean reconstruction of M dense members with h hidden units and k latent numbers each.

    The first and the last layer are linear in what all members share, so one product does each for all of them. The
    small layers between them become one matrix with a block for each member.
    """

    model: TrainedDense
    bounds: LatentBounds
    into: tuple[Floats, Floats] = field(init=False, repr=False)  # (d + c, M h) and (M h,)
    code: tuple[Floats, Floats] = field(init=False, repr=False)  # (M h, M k) and (M k,)
    border: tuple[Floats, Floats] = field(init=False, repr=False)  # (M k, M k) and (M k,)
    back: tuple[Floats, Floats] = field(init=False, repr=False)  # (M k, M h) and (M h,)
    out: tuple[Floats, Floats] = field(init=False, repr=False)  # (M h, d) and (d,)

    def __post_init__(self) -> None:
        """Lay out the weights."""
        into, code, back, out = self.model.layers
        count, bounds = self.model.members, self.bounds
        parts = {
            "into": (into[0].transpose(1, 0, 2).reshape(into[0].shape[1], -1), into[1]),
            "code": (_blocks(code[0]), code[1]),
            "border": (_blocks(bounds.whitening), bounds.offset),
            "back": (_blocks(back[0]), back[1]),
            "out": (out[0].reshape(-1, out[0].shape[2]) / np.float32(count), out[1].mean(axis=0)),
        }
        for name, (weight, bias) in parts.items():
            object.__setattr__(self, name, (np.ascontiguousarray(weight), bias.ravel()))

    def latent(self, inputs: Floats) -> Floats:
        """(B, d + c) -> latent vectors within the bounds, (B, M, k)."""
        code = layer(relu(layer(inputs, *self.into)), *self.code)
        shape = (len(inputs), self.model.members, self.model.latent_size)
        apart = layer(code, *self.border).reshape(shape)
        return drawn(code.reshape(shape), apart, self.bounds.center.transpose(1, 0, 2))

    def __call__(self, inputs: Floats) -> Floats:
        """(B, d + c) -> the mean reconstruction (B, d)."""
        latent = self.latent(inputs)
        return layer(relu(layer(latent.reshape(len(latent), -1), *self.back)), *self.out)


def _blocks(members: Floats) -> Floats:
    """One matrix with a block for each member, (M, a, b) -> (M a, M b)."""
    count, ins, outs = members.shape
    whole, numbers = np.zeros((count, ins, count, outs), np.float32), np.arange(count)
    whole[numbers, :, numbers] = members
    return whole.reshape(count * ins, count * outs)
