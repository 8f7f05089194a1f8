"""An autoencoder with a linear map beside each half: principal components, and nonlinear corrections to them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from aestream.models.base import Autoencoder
from aestream.models.dense import draw
from aestream.networks.skip import TrainedSkip
from aestream.types import Floats


class SkipAutoencoder(Autoencoder):
    """Encoder and decoder are each a linear map plus a network of two hidden layers.

    The linear maps alone can be principal component analysis or the Wiener filter, the best linear methods; the
    networks learn the rest. `start` sets the maps to these, so that a fit begins where the linear methods end.
    """

    kind: ClassVar[str] = TrainedSkip.kind

    def __init__(self, *, features: int, latent_size: int, hidden: int, members: int, seed: int) -> None:
        super().__init__(features=features, latent_size=latent_size, hidden=hidden, members=members, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        self.into = draw((members, features, latent_size), features, generator)
        self.back = draw((members, latent_size, features), latent_size, generator)
        self.encoder = _Network(members, (features, hidden, hidden, latent_size), generator)
        self.decoder = _Network(members, (latent_size, hidden, hidden, features), generator)

    @torch.no_grad()
    def start(self, rows: Floats, noise: float) -> None:
        """Set the linear maps from (n, d) rows: the first principal components, shrunk as in the Wiener filter.

        A component with variance v is multiplied by v / (v + noise^2): with noise of that standard deviation in each
        feature, no linear map has a smaller error.
        """
        center = torch.from_numpy(rows).mean(dim=0, dtype=torch.float64)
        centred = torch.from_numpy(rows) - center.float()
        values, vectors = torch.linalg.eigh((centred.T @ centred).double() / len(rows))
        kept = min(self.latent_size, self.features)  # a longer latent vector has nothing more to hold
        axes, variance = vectors.flip(1)[:, :kept], values.flip(0)[:kept].clamp(min=1e-12)  # (d, k), (k,)
        self.into.zero_()[:, :, :kept] = axes.float()
        self.back.zero_()[:, :kept] = (axes * (variance / (variance + noise**2))).T.float()
        self.encoder.biases[-1].zero_()[:, :, :kept] = (-center @ axes).float()
        self.decoder.biases[-1].zero_().add_(center.float())

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, d) or (M, B, d) -> (M, B, latent)."""
        inputs = inputs.expand(self.members, -1, -1)
        return torch.baddbmm(self.encoder(inputs), inputs, self.into)

    def decode(self, latent: Tensor) -> Tensor:
        """(M, B, latent) -> (M, B, d)."""
        return torch.baddbmm(self.decoder(latent), latent, self.back)


class _Network(nn.Module):
    """Dense layers with ReLU between them; the last weights start at 0, so that the linear map acts alone at first."""

    def __init__(self, members: int, sizes: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        pairs = tuple(pairwise(sizes))
        self.weights = nn.ParameterList(draw((members, fan_in, out), fan_in, generator) for fan_in, out in pairs)
        self.biases = nn.ParameterList(draw((members, 1, out), fan_in, generator) for fan_in, out in pairs)
        with torch.no_grad():
            self.weights[-1].zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        """(M, B, first size) -> (M, B, last size)."""
        *hidden, last = zip(self.biases, self.weights, strict=True)
        for bias, weight in hidden:
            inputs = torch.baddbmm(bias, inputs, weight).relu_()
        return torch.baddbmm(last[0], inputs, last[1])
