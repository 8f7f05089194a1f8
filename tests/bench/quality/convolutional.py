"""A convolutional autoencoder over windows: the ablation asks about it, the product does not have it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from aestream.models.dense import draw
from tests.bench.quality.sequence import SequenceAutoencoder, product

# Neighbouring rows that a convolution sees.
KERNEL = 3


class ConvolutionalAutoencoder(SequenceAutoencoder):
    """Two convolutions over the L rows of a window and a dense layer to the latent vector; the same in reverse.

    The features of a row and the context are the channels, and between the layers there are `hidden` of them. Latent
    size and activation are those of the dense network.
    """

    kind: ClassVar[str] = "convolutional"

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        generator = torch.Generator().manual_seed(self.seed)
        members, hidden, flat = self.members, self.hidden, self.hidden * self.rows

        def convolution(ins: int, out: int) -> nn.ParameterList:
            fan_in = KERNEL * ins
            shapes = (members * out, ins, KERNEL), (members * out,)
            return nn.ParameterList(draw(shape, fan_in, generator) for shape in shapes)

        self.first, self.second = convolution(self.width + self.context, hidden), convolution(hidden, hidden)
        self.into = self.dense(flat, self.latent_size, generator)
        self.back = self.dense(self.latent_size, flat, generator)
        self.third, self.last = convolution(hidden, hidden), convolution(hidden, self.width)

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, d + c) or (M, B, d + c) -> (M, B, latent)."""
        channels = self.seen(inputs).permute(1, 0, 3, 2).flatten(1, 2)  # (B, M (d / L + c), L)
        hidden = self._convolved(self._convolved(channels, self.first).relu(), self.second).relu()  # (B, M h, L)
        flat = hidden.view(len(hidden), self.members, self.hidden * self.rows).transpose(0, 1)  # (M, B, h L)
        return product(self.into, flat)

    def decode(self, latent: Tensor) -> Tensor:
        """(M, B, latent) -> (M, B, d)."""
        flat = product(self.back, latent).relu()  # (M, B, h L)
        hidden = flat.transpose(0, 1).reshape(latent.shape[1], self.members * self.hidden, self.rows)  # (B, M h, L)
        channels = self._convolved(self._convolved(hidden, self.third).relu(), self.last)  # (B, M d / L, L)
        window = channels.view(latent.shape[1], self.members, self.width, self.rows)
        return window.permute(1, 0, 3, 2).flatten(2)

    def _convolved(self, channels: Tensor, layer: nn.ParameterList) -> Tensor:
        """(B, M a, L) -> (B, M b, L): each member by its own weights, with zeros before the window and after it."""
        return functional.conv1d(channels, layer[0], layer[1], padding=KERNEL // 2, groups=self.members)
