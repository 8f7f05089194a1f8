"""What every threshold can do, and how one is stored in a model directory."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from aestream.errors import DataError
from aestream.types import Vector

# With fewer held-out errors beyond it, a threshold varies from one sample to the next.
SURE_RECORDS = 10


@runtime_checkable
class Threshold(Protocol):
    """Fitted on the errors of held-out normal records for a requested false-alarm rate.

    An error is above `value` exactly where its p-value is at most `false_alarm_rate`, up to rounding.
    """

    kind: ClassVar[str]

    @property
    def value(self) -> float:
        """The largest error that is still normal; finite and above 0."""

    @property
    def false_alarm_rate(self) -> float:
        """The rate that it was fitted for."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the calibration, one sentence each."""

    @classmethod
    def lowest_rate(cls, records: int) -> float:
        """Return the smallest false-alarm rate that this many held-out records support."""

    @classmethod
    def records_needed(cls, false_alarm_rate: float) -> int:
        """Return how many held-out records support the rate."""

    @classmethod
    def fit(cls, errors: Vector, *, false_alarm_rate: float) -> Self:
        """Calibrate on (n,) finite errors >= 0 of held-out records, in any order.

        Raises DataError when the records are too few to support the rate.
        """

    def p_value(self, errors: Vector) -> Vector:
        """Return the chance that a normal record has an error this large or larger, (n,) -> (n,).

        It is in (0, 1], and never rises with the error.
        """

    def arrays(self) -> dict[str, Vector]:
        """Return the numbers that `restore` needs."""

    def to_dict(self) -> dict[str, Any]:
        """Return the rest that `restore` needs, as JSON types."""

    @classmethod
    def restore(cls, data: Mapping[str, Any], arrays: Mapping[str, Vector]) -> Self:
        """Read what `to_dict` and `arrays` returned."""


def check_support(kind: type[Threshold], false_alarm_rate: float, records: int) -> None:
    """Raise DataError if the held-out records are too few to support the rate; the message says how many would do."""
    lowest = kind.lowest_rate(records)
    if false_alarm_rate < lowest * (1 - 1e-9):
        raise DataError(
            f"{records} records cannot support a false-alarm rate of {false_alarm_rate:g}: give at least "
            f"{kind.records_needed(false_alarm_rate)}, or raise `false_alarm_rate` to {rounded_up(lowest):g}"
        )


def warn_of_few(records: int, rate: float, how: str) -> tuple[str, ...]:
    """Warn that a threshold is uncertain, and say how many records it takes to be sure of it."""
    if records * rate >= SURE_RECORDS:
        return ()
    few = f"{records} records are few for a false-alarm rate of {rate:g}"
    return (f"{few}: the threshold {how}; {int(np.ceil(SURE_RECORDS / rate))} records would measure it",)


def rounded_up(rate: float) -> float:
    """Return the rate, rounded up to two significant digits."""
    unit = 10.0 ** (np.floor(np.log10(rate)) - 1)
    return float(f"{np.ceil(rate / unit - 1e-9) * unit:.2g}")
