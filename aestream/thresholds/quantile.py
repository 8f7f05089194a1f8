"""The conformal quantile of held-out errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from aestream.thresholds.base import check_support, warn_of_few
from aestream.thresholds.empirical import Empirical
from aestream.types import Vector


@dataclass(frozen=True, slots=True)
class QuantileThreshold:
    """The error that the requested share of new records exceeds, whatever the distribution (Vovk et al. 2005).

    It assumes only that later normal records are like the sample, so it knows nothing beyond the largest error: n
    records support a rate of 1 / (n + 1), and no p-value is smaller.
    """

    kind: ClassVar[str] = "quantile"
    value: float
    false_alarm_rate: float
    records: int
    body: Empirical
    warnings: tuple[str, ...]

    @classmethod
    def lowest_rate(cls, records: int) -> float:
        """Return the smallest false-alarm rate that this many held-out records support."""
        return 1.0 / (records + 1)

    @classmethod
    def records_needed(cls, false_alarm_rate: float) -> int:
        """Return how many held-out records support the rate."""
        return int(np.ceil(1.0 / false_alarm_rate - 1e-6)) - 1

    @classmethod
    def fit(cls, errors: Vector, *, false_alarm_rate: float) -> Self:
        """Calibrate on (n,) errors of held-out records, in any order.

        Raises DataError when the records are too few to support the rate.
        """
        check_support(cls, false_alarm_rate, len(errors))
        body = Empirical.fit(errors)
        warnings = warn_of_few(len(errors), false_alarm_rate, "rests on a few of their largest errors")
        return cls(body.level(false_alarm_rate), false_alarm_rate, len(errors), body, warnings)

    def p_value(self, errors: Vector) -> Vector:
        """Return the chance that a normal record has an error this large or larger, (n,) -> (n,)."""
        return self.body.p_value(errors)

    def arrays(self) -> dict[str, Vector]:
        """Return the numbers that `restore` needs."""
        return {"levels": self.body.levels, "chances": self.body.chances}

    def to_dict(self) -> dict[str, Any]:
        """Return the rest that `restore` needs, as JSON types."""
        return {
            "value": self.value,
            "false_alarm_rate": self.false_alarm_rate,
            "calibration_records": self.records,
            "warnings": list(self.warnings),
        }

    @classmethod
    def restore(cls, data: Mapping[str, Any], arrays: Mapping[str, Vector]) -> Self:
        """Read what `to_dict` and `arrays` returned."""
        return cls(
            value=float(data["value"]),
            false_alarm_rate=float(data["false_alarm_rate"]),
            records=int(data["calibration_records"]),
            body=Empirical(arrays["levels"], arrays["chances"]),
            warnings=tuple(data["warnings"]),
        )
