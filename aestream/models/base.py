"""What every autoencoder can do while it learns, and how its weights leave it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from aestream.networks.base import TrainedNetwork, restore
from aestream.types import Arrays

_KINDS: "dict[str, type[Autoencoder]]" = {}


class Autoencoder(nn.Module, ABC):
    """Scaled features in, latent vectors and reconstructions out, a batch at a time.

    A model is an ensemble of `members` independent networks, computed together; one network is an ensemble of one.
    A subclass names its `kind`, by which `aestream.networks` knows what runs it once it is trained; its `config()`
    returns the keyword arguments that rebuild it, and its `state_dict()` holds the weights. Initial weights come from
    the given seed alone, never from torch's global generator.
    """

    kind: ClassVar[str]
    # A model may look at a window: `features` are then the inputs of so many rows, one row after another.
    rows: int = 1
    # Inputs that a model is given after the features, but does not reconstruct.
    context: int = 0

    def __init__(self, *, features: int, latent_size: int, hidden: int, members: int, seed: int) -> None:
        super().__init__()
        self.features, self.latent_size, self.hidden = features, latent_size, hidden
        self.members, self.seed = members, seed

    def __init_subclass__(cls, **options: Any) -> None:
        """Register the subclass under its kind."""
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            _KINDS[cls.kind] = cls

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that build an untrained copy, as JSON types."""
        return {
            "features": self.features,
            "latent_size": self.latent_size,
            "hidden": self.hidden,
            "members": self.members,
            "seed": self.seed,
        }

    @abstractmethod
    def encode(self, inputs: Tensor) -> Tensor:
        """(B, features + context) for all members, or one batch for each, (members, B, ...) -> (members, B, latent)."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """(members, B, latent_size) -> (members, B, features)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """What `encode` accepts -> its reconstructions, (members, B, features)."""
        return self.decode(self.encode(inputs))

    def trained(self) -> TrainedNetwork:
        """Return what the network is without torch, from here on: as it is loaded from a model directory."""
        return restore(self.kind, self.config(), state(self))


def kinds() -> dict[str, type[Autoencoder]]:
    """Return the classes of models by kind."""
    return dict(_KINDS)


def state(model: Autoencoder) -> Arrays:
    """Return the weights by name."""
    return {name: weight.detach().numpy().copy() for name, weight in model.state_dict().items()}
