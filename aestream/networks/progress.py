"""How far a fit has come, and how it ended: for those who show it and never train."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit has come. Both losses are mean squared errors of the scaled features."""

    step: int
    steps: int
    loss: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class Training:
    """How a fit ended: steps taken, the last training loss, the validation loss of the weights kept, seconds."""

    steps: int
    loss: float
    validation_loss: float
    seconds: float
