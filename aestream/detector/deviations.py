"""Which deviations count: a feature's direction, and how far it must be from what was expected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

from aestream.errors import ConfigurationError
from aestream.features.encoder import FeatureEncoder
from aestream.types import Flags, Floats, Matrix, Places, Vector

# How often the network is asked again where some deviations do not count. More rounds move scores a little and no flag
# (`tests/unit/detector/test_deviations.py`).
ROUNDS = 3
_SIGNS = {"up": 1.0, "down": -1.0, "both": 0.0}


Reconstruct: TypeAlias = Callable[[Floats], Floats]
Units: TypeAlias = Callable[[Matrix], Matrix]


class EveryDeviation:
    """The rule where none was asked for: every deviation counts."""

    def settle(
        self, _reconstruct: Reconstruct, _matrix: Matrix, inputs: Floats, rebuilt: Floats
    ) -> tuple[Floats, Flags]:
        """The reconstructions (M, B, w) as they are, since the network need not run again; all inputs count, (B, w)."""
        return rebuilt, np.ones(inputs.shape, bool)

    def still(self, counts: Flags, _matrix: Matrix, _rebuilt: Floats) -> Flags:
        """All that counted still does, (B, w)."""
        return counts

    def told_in(self, _units: Units) -> Self:
        """The same, whatever the units."""
        return self


@dataclass(frozen=True, slots=True)
class Tolerances:
    """For each of d features, (d,) each: the direction (1 up, -1 down, 0 both) and the least size of what counts.

    `least` is in the user's units, `least_share` a share of the expected value; both must be reached.
    """

    direction: Vector
    least: Vector
    least_share: Vector

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        *,
        direction: Mapping[str, str],
        min_abs_deviation: Mapping[str, float],
        min_rel_deviation: Mapping[str, float],
    ) -> Self:
        """Read mappings by feature name, which obey `FEATURE_RULES`, for the features with these names.

        Raises ConfigurationError when a name is not a feature.
        """
        asked = {
            "direction": {name: _SIGNS[way] for name, way in direction.items()},
            "min_abs_deviation": min_abs_deviation,
            "min_rel_deviation": min_rel_deviation,
        }
        for option, values in asked.items():
            for name in values:
                if name not in names:
                    known = ", ".join(names[:10]) + (", ..." if names[10:] else "")
                    raise ConfigurationError(
                        f"{option} names {name!r}, which is not a feature: the features are {known}"
                    )
        return cls(*(np.array([float(values.get(name, 0.0)) for name in names]) for values in asked.values()))

    def at(self, places: Places) -> Self:
        """The same for the features at these places only."""
        return type(self)(self.direction[places], self.least[places], self.least_share[places])

    def any_asked(self) -> bool:
        """Whether some deviation might not count."""
        return bool(self.direction.any() or self.least.any() or self.least_share.any())

    def counts(self, observed: Matrix, expected: Matrix) -> Flags:
        """Say which features of (n, d) rows, in the user's units, deviate in a way that counts: (n, d)."""
        with np.errstate(over="ignore"):
            deviation = observed - expected
            few = np.abs(deviation) < np.maximum(self.least, self.least_share * np.abs(expected))
        mask: Flags = ~(few | (np.sign(deviation) * self.direction < 0))  # a missing value counts
        return mask


@dataclass(frozen=True, slots=True)
class Deviations:
    """The rule where tolerances were asked for: what they let pass does not count."""

    tolerances: Tolerances
    encoder: FeatureEncoder
    units: Units | None = None  # from the encoder's units to those of the tolerances

    @classmethod
    def of(cls, tolerances: Tolerances, encoder: FeatureEncoder) -> Self | EveryDeviation:
        """Choose the rule for the encoder's features."""
        return cls(tolerances, encoder) if tolerances.any_asked() else EveryDeviation()

    def still(self, counts: Flags, matrix: Matrix, rebuilt: Floats) -> Flags:
        """Which of the inputs that counted, (B, w), still do so against these reconstructions (M, B, w).

        Of windows the inputs are (B, L w), and `matrix` has their rows one below the other, (B L, d).
        """
        expected = rebuilt.mean(axis=0).astype(np.float64).reshape(len(matrix), -1)
        rows = matrix, self.encoder.inverse(expected, matrix)
        now = self.tolerances.counts(*(rows if self.units is None else map(self.units, rows)))
        still: Flags = counts & self.encoder.by_input(now).reshape(counts.shape)
        return still

    def told_in(self, units: Units) -> Self:
        """The same, where rows have to be taken to other units, (B, d) -> (B, d), to be compared."""
        return replace(self, units=units)

    def settle(self, reconstruct: Reconstruct, matrix: Matrix, inputs: Floats, rebuilt: Floats) -> tuple[Floats, Flags]:
        """Reconstruct rows without what does not count -> reconstructions (M, B, d), and what counts (B, w).

        A feature that does not count is taken for what the members expect of it on the whole, and the network is asked
        again: else it would go on drawing along what is expected of the others. Some rounds settle it, and what has
        once dropped out stays out.

        Args:
            reconstruct: scaled rows (B, d) to reconstructions (M, B, d).
            matrix: (B, d) rows in the user's units.
            inputs: the same, scaled.
            rebuilt: the reconstructions of `inputs`, (M, B, d).

        """
        counts = np.ones(inputs.shape, bool)
        for _ in range(ROUNDS):
            counts = self.still(counts, matrix, rebuilt)
            rebuilt = reconstruct(np.where(counts, inputs, rebuilt.mean(axis=0)))
        return rebuilt, self.still(counts, matrix, rebuilt)
