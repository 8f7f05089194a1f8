"""A recurrent autoencoder over windows: the ablation asks about it, the product does not have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tests.bench.quality.sequence import SequenceAutoencoder, product


class RecurrentAutoencoder(SequenceAutoencoder):
    """A GRU reads the rows of a window, oldest first; another unrolls the latent vector, newest row first.

    Gated recurrent units are by Cho et al. 2014, the reversed order by Malhotra et al. 2016. A state has `hidden`
    numbers, and the latent size is that of the dense network. The second GRU starts from the latent vector, and is
    given it again at every step.
    """

    kind: ClassVar[str] = "recurrent"

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        generator = torch.Generator().manual_seed(self.seed)
        hidden, gates = self.hidden, 3 * self.hidden
        self.read = self.dense(self.width + self.context, gates, generator)
        self.reading = self.dense(hidden, gates, generator)
        self.into = self.dense(hidden, self.latent_size, generator)
        self.back = self.dense(self.latent_size, hidden, generator)
        self.told = self.dense(self.latent_size, gates, generator)
        self.telling = self.dense(hidden, gates, generator)
        self.last = self.dense(hidden, self.width, generator)

    def encode(self, inputs: Tensor) -> Tensor:
        """(B, d + c) or (M, B, d + c) -> (M, B, latent)."""
        seen = self.seen(inputs).transpose(1, 2)  # (M, L, B, d / L + c)
        given = product(self.read, seen.flatten(1, 2)).view(*seen.shape[:3], 3 * self.hidden)  # (M, L, B, 3 h)
        *_, state = _states(self.reading, given.new_zeros(self.members, seen.shape[2], self.hidden), given.unbind(1))
        return product(self.into, state)

    def decode(self, latent: Tensor) -> Tensor:
        """(M, B, latent) -> (M, B, d)."""
        first, given = product(self.back, latent).tanh(), product(self.told, latent)
        states = torch.stack([*_states(self.telling, first, repeat(given, self.rows))][::-1], dim=1)  # (M, L, B, h)
        rows = product(self.last, states.flatten(1, 2)).view(*states.shape[:3], self.width)  # (M, L, B, d / L)
        return rows.transpose(1, 2).flatten(2)


def _states(layer: nn.ParameterList, state: Tensor, given: Iterable[Tensor]) -> Iterator[Tensor]:
    """The state (M, B, h) after each step, from what is given to the gates in it, (M, B, 3 h): reset, update, new."""
    size = state.shape[2]
    for step in given:
        own = product(layer, state)  # (M, B, 3 h)
        reset, update = (step[..., : 2 * size] + own[..., : 2 * size]).sigmoid().chunk(2, dim=2)
        new = torch.addcmul(step[..., 2 * size :], reset, own[..., 2 * size :]).tanh()
        state = torch.lerp(new, state, update)
        yield state
