"""The quantile of held-out errors, and a careful tail beyond them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float64]

# The chances that are known from so many records beyond; what is rarer is extrapolated.
TAIL_RECORDS = 10
# The tail's slope is learnt from this share of the largest errors.
TAIL_SHARE = 0.1
# Bounds of that slope, the mean excess of the log error: no lighter tail is trusted, none without a mean believed.
MIN_SLOPE, MAX_SLOPE = 0.01, 1.0
GRID = 512
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class QuantileThreshold:
    """The conformal quantile (Vovk et al. 2005) of held-out errors, with a Pareto tail (Hill 1975) beyond them.

    `levels`, `chances`: (g,), rising errors and their falling p-values; beyond the last level the p-value falls as
    error ** (-1 / slope).
    """

    kind: ClassVar[str] = "quantile"
    value: float
    false_alarm_rate: float
    records: int
    slope: float
    levels: Vector
    chances: Vector
    warnings: tuple[str, ...]

    @classmethod
    def fit(cls, errors: Vector, *, false_alarm_rate: float) -> Self:
        """Calibrate on (n,) errors of held-out records, in time order."""
        count = len(errors)
        ordered = np.sort(np.maximum(errors, TINY))
        places = np.unique(np.linspace(0, max(count - TAIL_RECORDS, 0), GRID).astype(int))
        levels = np.unique(ordered[places])
        chances = _chances(ordered, levels)
        slope = _slope(np.log(ordered))
        if false_alarm_rate >= chances[-1]:
            first = int(np.argmax(chances <= false_alarm_rate))
            value = levels[first]
            if first:  # between two levels: log-linear
                value = np.exp(
                    np.interp(
                        np.log(false_alarm_rate),
                        np.log(chances[[first, first - 1]]),
                        np.log(levels[[first, first - 1]]),
                    )
                )
        else:
            value = levels[-1] * np.exp(slope * np.log(chances[-1] / false_alarm_rate))
            if count * false_alarm_rate < 1:
                value = max(value, ordered[-1])
        return cls(
            value=float(min(value, np.finfo(np.float64).max)),
            false_alarm_rate=false_alarm_rate,
            records=count,
            slope=slope,
            levels=levels,
            chances=chances,
            warnings=_warnings(count, false_alarm_rate),
        )

    def p_value(self, errors: Vector) -> Vector:
        """Return the chance that a normal record errs as much or more, (n,) -> (n,)."""
        logs, levels = np.log(np.maximum(errors, TINY)), np.log(self.levels)
        body = np.interp(logs, levels, np.log(self.chances), left=0.0)
        tail = np.minimum((levels[-1] - logs) / self.slope, 0.0)
        p_values: Vector = np.maximum(np.exp(body + tail), TINY)
        return p_values

    def arrays(self) -> dict[str, Vector]:
        """Return the numbers that `restore` needs."""
        return {"levels": self.levels, "chances": self.chances}

    def to_dict(self) -> dict[str, Any]:
        """Return the rest that `restore` needs, as JSON types."""
        return {
            "value": self.value,
            "false_alarm_rate": self.false_alarm_rate,
            "calibration_records": self.records,
            "slope": self.slope,
            "warnings": list(self.warnings),
        }

    @classmethod
    def restore(cls, data: Mapping[str, Any], arrays: Mapping[str, Vector]) -> Self:
        """Read what `to_dict` and `arrays` returned."""
        return cls(
            value=float(data["value"]),
            false_alarm_rate=float(data["false_alarm_rate"]),
            records=int(data["calibration_records"]),
            slope=float(data["slope"]),
            levels=arrays["levels"],
            chances=arrays["chances"],
            warnings=tuple(data["warnings"]),
        )


def _chances(ordered: Vector, levels: Vector) -> Vector:
    """P(error >= level) of a further record, from (n,) rising errors: (g,) rising levels -> (g,), falling."""
    beyond = len(ordered) - np.searchsorted(ordered, levels)
    chances: Vector = (beyond + 1) / (len(ordered) + 1)
    return chances


def _slope(logs: Vector) -> float:
    """Mean excess of rising log errors over two starts of the tail, the larger: the heavier tail is the safer guess."""
    few = min(TAIL_RECORDS, len(logs))
    many = max(few, int(len(logs) * TAIL_SHARE))
    excess = max(float(np.mean(logs[-size:] - logs[-size])) for size in (few, many))
    return min(max(excess, MIN_SLOPE), MAX_SLOPE)


def _warnings(count: int, rate: float) -> tuple[str, ...]:
    if count * rate >= TAIL_RECORDS:
        return ()
    needed = int(np.ceil(TAIL_RECORDS / rate))
    few = f"{count} records are few for a false-alarm rate of {rate:g}"
    return (f"{few}: the threshold is extrapolated from their largest errors; {needed} records would measure it",)
