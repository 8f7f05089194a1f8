"""Scales the columns, so that one network can take bytes, percentages and seconds alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream import portions
from aestream.portions import Table
from aestream.types import Matrix, Vector

# Up to LINEAR a scaled value stays as it is; beyond, it grows logarithmically, by SLOWLY for each power of e.
# Records rank as well without. It stays so that nothing overflows, and for `encode` and `denoise`: they learn every
# row, and the squares of a few far values would decide everything (`tests/unit/detector/test_representation.py`).
LINEAR, SLOWLY = 10.0, 2.0
# A constant column has no spread. A change by this share of its value then counts as one standard deviation.
CONSTANT_SHARE = 1e-3
# Less spread than this share of the column's size is float noise: the column counts as constant.
FLOAT_NOISE = 1e-9
# Scaled values are cut here before the logarithm: far beyond any meaning, well below any overflow.
FAR = 1e300
_NAMES = ("center", "scale", "low", "high")


@dataclass(frozen=True, slots=True)
class NumericScaler:
    """Standard scaling with a variance floor, then a soft clip that keeps far values far.

    `center`, `scale`: (d,), in the user's units. `low`, `high`: (d,), the range seen in training.
    """

    center: Vector
    scale: Vector
    low: Vector
    high: Vector

    @classmethod
    def fit(cls, table: Table) -> Self:
        """Learn the centre and spread of each column of (n, d) finite values of any magnitude."""
        parts = [cls._of(table[:, place]) for place in portions.columns(*table.shape)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))

    @classmethod
    def _of(cls, matrix: Matrix) -> Self:
        low, high = matrix.min(axis=0), matrix.max(axis=0)
        size = np.maximum(np.abs(low), np.abs(high))
        unit = np.where(size > 0, size, 1.0)
        shrunk = matrix / unit  # within -1..1, so that no sum or square overflows
        center, spread = shrunk.mean(axis=0), shrunk.std(axis=0)
        constant = spread <= FLOAT_NOISE
        center = np.where(constant, shrunk[0], center)
        spread = np.where(constant, CONSTANT_SHARE, spread)
        return cls(center * unit, np.maximum(spread * unit, np.finfo(np.float64).tiny), low, high)

    def transform(self, matrix: Matrix) -> Matrix:
        """Scale (n, d) user values -> (n, d), within about 1,400 of zero whatever the input."""
        with np.errstate(over="ignore"):
            scaled = matrix - self.center
            scaled /= self.scale
        return soft_clip(scaled)

    def inverse(self, scaled: Matrix) -> Matrix:
        """Turn (n, d) scaled values into the user's units, within the range seen in training."""
        reach = np.abs(scaled)
        far = LINEAR + SLOWLY * np.expm1(np.clip((reach - LINEAR) / SLOWLY, 0.0, 700.0))
        stretched = np.where(reach > LINEAR, np.copysign(far, scaled), scaled)
        with np.errstate(over="ignore", invalid="ignore"):
            user = stretched * self.scale + self.center
        return np.clip(user, self.low, self.high)

    def arrays(self) -> dict[str, Vector]:
        """Return what `from_arrays` reads."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Vector]) -> Self:
        """Read what `arrays` returned."""
        return cls(*(arrays[name] for name in _NAMES))


def soft_clip(scaled: Matrix) -> Matrix:
    """Leave |x| <= 10 as it is; beyond, sign(x) * (10 + 2 log(1 + (|x| - 10) / 2)). Writes into `scaled`, returns it.

    The curve and its slope are continuous at 10, and it never stops rising: ten times the distance adds about 5, and
    1e300 becomes 1,400, so float32 cannot overflow.
    """
    far = np.abs(scaled) > LINEAR
    if far.any():
        values = scaled[far]
        reach = np.minimum(np.abs(values), FAR) - LINEAR
        scaled[far] = np.copysign(LINEAR + SLOWLY * np.log1p(reach / SLOWLY), values)
    return scaled
