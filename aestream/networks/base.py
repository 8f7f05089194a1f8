"""What every trained network can do, and how one is rebuilt from its named weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from aestream.errors import ModelError
from aestream.types import Arrays, Floats

_KINDS: "dict[str, type[TrainedNetwork]]" = {}


class TrainedNetwork(ABC):
    """Scaled features in, latent vectors and reconstructions out, a batch at a time, in float32.

    It is an ensemble of `members` independent networks, computed together; one network is an ensemble of one. A
    subclass names its `kind`, that of the autoencoder in `aestream.models` that was trained. It may look at a window:
    `features` are then the inputs of so many `rows`, one row after another. The `context` are inputs that come after
    the features, and are not reconstructed.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        weights: Arrays,
        *,
        features: int,
        latent_size: int,
        hidden: int,
        members: int,
        seed: int,
        rows: int = 1,
        context: int = 0,
    ) -> None:
        """Take what the training left. Raises ValueError when weights are missing, or have another shape."""
        self.features, self.latent_size, self.hidden = features, latent_size, hidden
        self.members, self.seed, self.rows, self.context = members, seed, rows, context
        self.weights = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
        if {name: array.shape for name, array in self.weights.items()} != self.shapes():
            raise ValueError(f"these are not the weights of a {self.kind} network")

    def __init_subclass__(cls, **options: Any) -> None:
        """Register the subclass under its kind, so that a model directory can name it."""
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            _KINDS[cls.kind] = cls

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments that build it from its weights, as JSON types."""
        return {
            "features": self.features,
            "latent_size": self.latent_size,
            "hidden": self.hidden,
            "members": self.members,
            "seed": self.seed,
        }

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of the weights, by name."""

    @abstractmethod
    def encode(self, inputs: Floats) -> Floats:
        """(B, features + context) for all members, or one batch for each, (M, B, ...) -> (M, B, latent_size)."""

    @abstractmethod
    def decode(self, latent: Floats) -> Floats:
        """(M, B, latent_size) -> (M, B, features)."""

    def __call__(self, inputs: Floats) -> Floats:
        """What `encode` accepts -> its reconstructions, (M, B, features)."""
        return self.decode(self.encode(inputs))


def kinds() -> dict[str, type[TrainedNetwork]]:
    """Return the classes of networks by kind."""
    return dict(_KINDS)


def restore(kind: str, config: Mapping[str, Any], weights: Arrays) -> TrainedNetwork:
    """Build a network from its kind, its `config()` and its `weights`.

    Raises ModelError when the kind is unknown, or when the parts do not fit together.
    """
    if kind not in _KINDS:
        known = ", ".join(sorted(_KINDS))
        raise ModelError(f"the model kind {kind!r} is unknown (known: {known}): update aestream, or train again")
    try:
        return _KINDS[kind](weights, **config)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the weights do not fit a model of kind {kind!r} with {dict(config)}: train again") from error


def layer(inputs: Floats, weight: Floats, bias: Floats) -> Floats:
    """A dense layer of all members, (M, B, ins) @ (M, ins, outs) + (M, 1, outs), or of one, without the first axis."""
    outputs: Floats = np.matmul(inputs, weight)
    outputs += bias
    return outputs


def relu(values: Floats) -> Floats:
    """The larger of each value and 0, in place."""
    rectified: Floats = np.maximum(values, np.float32(0.0), out=values)
    return rectified
