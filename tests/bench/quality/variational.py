"""A variational autoencoder in the place of the detector's own: what the ablation asks, the product does not have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aestream.models.base import state
from aestream.models.dense import DenseAutoencoder, draw
from aestream.networks.base import TrainedNetwork, restore

# The variance around a reconstruction that the gaussian decoder stands for, in squared standard deviations of a
# feature: what weighs the KL term. Of 0.001, 0.01, 0.1 and 1 the smallest ranked best on the sets of adbench.
VARIANCE = 0.001


class VariationalAutoencoder(DenseAutoencoder):
    """Learns with latent vectors drawn from N(mean, variance), both encoded (Kingma and Welling 2014).

    It scores by the mean. A row's loss is the negative ELBO of a gaussian decoder, times 2 VARIANCE / d: the mean
    squared error over the d features + 2 VARIANCE / d * KL(N(mean, variance) || N(0, 1)). The members, the noise on
    the inputs, the trimming of the squared error and the training loop are those of the product.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self._random = torch.Generator().manual_seed(self.seed + 1)
        self.weights.append(draw((self.members, self.hidden, self.latent_size), self.hidden, self._random))
        self.biases.append(draw((self.members, 1, self.latent_size), self.hidden, self._random))

    def trained(self) -> TrainedNetwork:
        """Return what scores, which draws nothing: the dense network of the means."""
        needed = {name: array for name, array in state(self).items() if not name.endswith(".4")}
        return restore(self.kind, self.config(), needed)

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, d) or (M, B, d) -> (M, B, latent): a draw while the network learns, the mean afterwards."""
        hidden = self.first_layer(inputs)
        mean = torch.baddbmm(self.biases[1], hidden, self.weights[1])  # (M, B, latent)
        if not torch.is_grad_enabled():
            return mean
        log_variance = torch.baddbmm(self.biases[4], hidden, self.weights[4])
        # KL = (mean^2 + variance - log variance - 1) / 2 has a simple gradient, which joins that of the squared error
        weight = 2 * VARIANCE / self.features / mean.shape[1]
        mean.register_hook((weight * mean.detach()).add)  # type: ignore[no-untyped-call]
        push = (weight * (log_variance.detach().exp() - 1) / 2).add
        log_variance.register_hook(push)  # type: ignore[no-untyped-call]
        noise = torch.randn(mean.shape, generator=self._random)
        return mean + noise * (log_variance / 2).exp()
