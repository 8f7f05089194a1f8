"""What every threshold can do, and how one is kept in a model directory."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float64]


@runtime_checkable
class Threshold(Protocol):
    """Fitted on the errors of held-out normal records for a requested false-alarm rate."""

    kind: ClassVar[str]

    @property
    def value(self) -> float:
        """The largest error that is still normal; finite and above 0."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the calibration, one sentence each."""

    @classmethod
    def fit(cls, errors: Vector, *, false_alarm_rate: float) -> Self:
        """Calibrate on (n,) finite errors >= 0 of held-out records, in time order."""

    def p_value(self, errors: Vector) -> Vector:
        """Return the chance that a normal record errs as much or more: (n,), in (0, 1], falling with the error."""

    def arrays(self) -> dict[str, Vector]:
        """Return the numbers that `restore` needs."""

    def to_dict(self) -> dict[str, Any]:
        """Return the rest that `restore` needs, as JSON types."""

    @classmethod
    def restore(cls, data: Mapping[str, Any], arrays: Mapping[str, Vector]) -> Self:
        """Read what `to_dict` and `arrays` returned."""
