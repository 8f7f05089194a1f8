"""What a detector can be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aestream.detector import deviations
from aestream.errors import ConfigurationError
from aestream.thresholds import calibrators

# With fewer rows there might be none outside a row's own stretch.
LEAST_MEMORY = 10


@dataclass(frozen=True, slots=True)
class Options:
    """What a detector can be told; kept in its manifest."""

    false_alarm_rate: float | None
    calibrator: str
    latent_size: int | None
    noise: float | None
    seed: int
    steps: int
    hidden: int
    memory: int
    missing: str
    timestamps: Sequence[str]
    direction: Mapping[str, str]
    min_abs_deviation: Mapping[str, float]
    min_rel_deviation: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any training."""
        checks = (
            (
                self.false_alarm_rate is None or 0 < self.false_alarm_rate < 1,
                "false_alarm_rate",
                "give a share between 0 and 1, such as 0.001, or None",
            ),
            (self.calibrator in calibrators.CALIBRATORS, "calibrator", f"one of {', '.join(calibrators.CALIBRATORS)}"),
            (self.latent_size is None or self.latent_size >= 1, "latent_size", "give a whole number from 1, or None"),
            (self.noise is None or self.noise > 0, "noise", "give standard deviations above 0, or None"),
            (self.steps >= 1, "steps", "give a whole number from 1"),
            (self.hidden >= 1, "hidden", "give a whole number from 1"),
            (self.memory == 0 or self.memory >= LEAST_MEMORY, "memory", "give a number of rows from 10, or 0 for none"),
        )
        for good, name, advice in checks:
            if not good:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: {advice}")
        deviations.check(self.direction, self.min_abs_deviation, self.min_rel_deviation)
