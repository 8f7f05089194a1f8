"""A convolutional autoencoder over windows, and its judging: what the ablation asks, the product does not have."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from aestream.detector.residuals import LatentBounds
from aestream.models.base import Autoencoder
from aestream.models.dense import DenseAutoencoder, draw

# Neighbouring rows that a convolution sees.
KERNEL = 3


class ConvolutionalAutoencoder(Autoencoder):
    """Two convolutions over the L rows of a window and a dense layer to the latent vector; the same in reverse.

    The features of a row and the context are the channels, and between the layers there are `hidden` of them. What a
    member is shown, the latent size and the activation are those of the dense network.
    """

    kind: ClassVar[str] = "convolutional"
    shown: Tensor  # (M, d + c, 1), 1 for an input that a member sees, else 0

    def __init__(self, *, rows: int = 1, context: int = 0, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.rows, self.context = rows, context
        generator = torch.Generator().manual_seed(self.seed)
        members, hidden, width, flat = self.members, self.hidden, self.features // rows, self.hidden * rows

        def convolution(ins: int, out: int) -> nn.ParameterList:
            fan_in = KERNEL * ins
            shapes = (members * out, ins, KERNEL), (members * out,)
            return nn.ParameterList(draw(shape, fan_in, generator) for shape in shapes)

        def dense(ins: int, out: int) -> nn.ParameterList:
            return nn.ParameterList(draw((members, size, out), ins, generator) for size in (ins, 1))

        self.first, self.second = convolution(width + context, hidden), convolution(hidden, hidden)
        self.into, self.back = dense(flat, self.latent_size), dense(self.latent_size, flat)
        self.third, self.last = convolution(hidden, hidden), convolution(hidden, width)
        self.register_buffer("shown", DenseAutoencoder(rows=rows, context=context, **sizes).shown)

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that build an untrained copy, as JSON types."""
        return {**super().config(), "rows": self.rows, "context": self.context}

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, d + c) or (M, B, d + c) -> (M, B, latent)."""
        seen = inputs.expand(self.members, -1, -1) * self.shown.transpose(1, 2)
        count, width = seen.shape[1], self.features // self.rows
        window = seen[..., : self.features].reshape(self.members, count, self.rows, width).transpose(2, 3)
        context = seen[..., self.features :, None].expand(-1, -1, -1, self.rows)
        channels = torch.cat([window, context], dim=2).transpose(0, 1).flatten(1, 2)  # (B, M (d / L + c), L)
        hidden = self._convolved(self._convolved(channels, self.first).relu(), self.second).relu()  # (B, M h, L)
        flat = hidden.view(count, self.members, self.hidden * self.rows).transpose(0, 1)  # (M, B, h L)
        return torch.baddbmm(self.into[1], flat, self.into[0])

    def decode(self, latent: Tensor) -> Tensor:
        """(M, B, latent) -> (M, B, d)."""
        flat = torch.baddbmm(self.back[1], latent, self.back[0]).relu()  # (M, B, h L)
        hidden = flat.transpose(0, 1).reshape(latent.shape[1], self.members * self.hidden, self.rows)  # (B, M h, L)
        channels = self._convolved(self._convolved(hidden, self.third).relu(), self.last)  # (B, M d / L, L)
        window = channels.view(latent.shape[1], self.members, self.features // self.rows, self.rows)
        return window.permute(1, 0, 3, 2).flatten(2)

    def _convolved(self, channels: Tensor, layer: nn.ParameterList) -> Tensor:
        """(B, M a, L) -> (B, M b, L): each member by its own weights, with zeros before the window and after it."""
        return functional.conv1d(channels, layer[0], layer[1], padding=KERNEL // 2, groups=self.members)


class MeanOfMembers:
    """The mean reconstruction of members of any kind, computed one by one: stands in for `detector.merged.Merged`."""

    def __init__(self, model: Autoencoder, bounds: LatentBounds) -> None:
        self.model, self.bounds = model, bounds

    def latent(self, inputs: Tensor) -> Tensor:
        """(B, d + c) -> latent vectors within the bounds, (B, M, k)."""
        return self.bounds.apply(self.model.encode(inputs)).transpose(0, 1)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(B, d + c) -> the mean reconstruction (B, d)."""
        return self.model.decode(self.latent(inputs).transpose(0, 1)).mean(dim=0)
