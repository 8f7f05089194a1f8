"""Peaks over threshold: held-out errors are counted, with a generalised Pareto tail beyond them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from aestream.thresholds.base import check_support, warn_of_few
from aestream.thresholds.empirical import TINY, Empirical
from aestream.thresholds.pareto import Pareto
from aestream.types import Vector

# The tail is fitted to this many of the largest errors and no more: smaller ones often belong to other kinds of normal
# records, and say less about the tail.
PEAKS = 10
# How far beyond the sample the tail is trusted: n records support a rate of 1 / (4 n), or of 1 / (n + 1) if they are
# too few for a tail. At this reach the achieved rate is still 1 to 2 times the one asked for (docs/detector.md).
REACH = 4
# Least scale of the tail, as a share of the error where it starts: errors that are all alike have no tail.
LEAST_SCALE = 0.01


@dataclass(frozen=True, slots=True)
class PotThreshold:
    """The error that the requested share of new records exceeds (extreme value theory, Siffer et al. 2017).

    Up to `start`, which ten errors of the sample exceed, chances are counted; beyond it, the excesses follow a
    generalised Pareto distribution. So a rate rarer than the sample can show has a threshold too, and p-values still
    tell the largest errors apart.
    """

    kind: ClassVar[str] = "pot"
    value: float
    false_alarm_rate: float
    records: int
    body: Empirical
    start: float
    tail: Pareto
    warnings: tuple[str, ...]

    @classmethod
    def lowest_rate(cls, records: int) -> float:
        """Return the smallest false-alarm rate that this many held-out records support."""
        return 1.0 / (REACH * records if records > PEAKS else records + 1)

    @classmethod
    def records_needed(cls, false_alarm_rate: float) -> int:
        """Return how many held-out records support the rate."""
        counted = int(np.ceil(1.0 / false_alarm_rate - 1e-6)) - 1
        return min(counted, max(int(np.ceil(1.0 / (REACH * false_alarm_rate) - 1e-6)), PEAKS + 1))

    @classmethod
    def fit(cls, errors: Vector, *, false_alarm_rate: float) -> Self:
        """Calibrate on (n,) errors of held-out records, in any order.

        Raises DataError when the records are too few to support the rate.
        """
        count = len(errors)
        check_support(cls, false_alarm_rate, count)
        body = Empirical.fit(errors)
        largest = float(body.levels[-1])
        start = body.level((PEAKS + 1) / (count + 1))
        chance = float(body.chances[-1 - np.count_nonzero(body.levels > start)])
        excess = np.sort(errors[errors > start] - start)
        tail = Pareto.fit(excess, least_scale=LEAST_SCALE * start)
        if false_alarm_rate >= chance:
            value = body.level(false_alarm_rate)
        else:
            value = start + tail.level(false_alarm_rate / chance)
            # Even the largest error of the sample is exceeded more often than that, by 1 record in n + 1.
            if false_alarm_rate * (count + 1) < 1 and value < largest:
                tail = tail.stretched((largest - start) / (value - start))
                value = largest
        return cls(
            value=float(min(value, np.finfo(np.float64).max)),
            false_alarm_rate=false_alarm_rate,
            records=count,
            body=body,
            start=start,
            tail=tail,
            warnings=warn_of_few(count, false_alarm_rate, "is extrapolated from their largest errors"),
        )

    def p_value(self, errors: Vector) -> Vector:
        """Return the chance that a normal record has an error this large or larger, (n,) -> (n,)."""
        counted = self.body.p_value(np.minimum(errors, np.nextafter(self.start, np.inf)))
        p_values: Vector = np.maximum(counted * self.tail.beyond(np.maximum(errors - self.start, 0.0)), TINY)
        return p_values

    def arrays(self) -> dict[str, Vector]:
        """Return the numbers that `restore` needs."""
        return {"levels": self.body.levels, "chances": self.body.chances}

    def to_dict(self) -> dict[str, Any]:
        """Return the rest that `restore` needs, as JSON types."""
        return {
            "value": self.value,
            "false_alarm_rate": self.false_alarm_rate,
            "calibration_records": self.records,
            "start": self.start,
            "scale": self.tail.scale,
            "shape": self.tail.shape,
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
            start=float(data["start"]),
            tail=Pareto(scale=float(data["scale"]), shape=float(data["shape"])),
            warnings=tuple(data["warnings"]),
        )
