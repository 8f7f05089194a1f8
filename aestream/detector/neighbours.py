"""What normal records looked like: training rows that are kept, and how far a record is from the nearest of them.

A network follows the shape of the normal rows and passes over their gaps: a record between two dense groups may be
reconstructed well. The kept rows know the gaps. They can only add to a suspicion: what is like an anomaly among
the training rows is near to it, and not excused by that where the network finds it strange.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from aestream.detector.folds import RowNumbers, evenly
from aestream.detector.residuals import PRECISION, tails
from aestream.types import Arrays, Floats, Places, Vector

# Distances computed at a time, which stay in a core's second cache: with half or twice as many a record costs as much
# (`tests.bench.quality --parts cost`).
BLOCK = 256_000
# Before all rows one in so many is asked, and before these one in so many of them, down to about this many.
# Other values cost more (likewise).
STEP, FEWEST = 8, 100
# How far an input jumps is learnt from about so many rows: a hundred times what the tails need (`residuals.TAIL`).
SAMPLE = 100_000
# Reconstruction error and distance are put on one scale by the largest of the training: this share of them, whose
# logarithms spread at least so much. Where distances hardly differ, twice as far is not more than this power of two.
# Compared with other values by `tests.bench.quality --parts constants`.
LARGEST, LEAST_SPREAD, STEEPEST = 0.1, 0.01, 10.0


@dataclass(frozen=True, slots=True)
class Neighbours:
    """K weighed rows of w inputs (K, w) to be near to."""

    rows: Floats
    table: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay the rows out: (inputs, 1) @ table (w + 1, K) are the squared distances, less the inputs' own norm."""
        table = np.concatenate([-2.0 * self.rows, np.square(self.rows).sum(axis=1, keepdims=True)], axis=1)
        object.__setattr__(self, "table", np.ascontiguousarray(table.T))

    def nearest(self, asked: Floats) -> Vector:
        """Return how far the nearest row is from weighed inputs, (B, w) -> (B,), at least PRECISION.

        A row does not vouch for itself: one that is asked about again is compared with the others.
        """
        padded = np.ones((len(asked), asked.shape[1] + 1), np.float32)
        padded[:, :-1] = asked
        number, step = np.empty(len(asked), np.intp), max(1, BLOCK // len(self.rows))
        squared = np.empty((min(step, len(asked)), len(self.rows)), np.float32)
        for start in range(0, len(asked), step):
            block = padded[start : start + step]
            np.matmul(block, self.table, out=squared[: len(block)]).argmin(axis=1, out=number[start : start + step])
        # The product loses the digits of what is near: once more, for the one row that counts.
        distance = self._apart(asked, number)
        itself = np.flatnonzero(distance == 0)
        if len(itself):
            squared = padded[itself] @ self.table
            squared[np.arange(len(itself)), number[itself]] = np.inf
            number[itself] = squared.argmin(axis=1)
            distance[itself] = self._apart(asked[itself], number[itself])
        return np.maximum(distance, PRECISION)

    def _apart(self, asked: Floats, number: Places) -> Vector:
        """How far weighed inputs (B, w) are from the rows with these numbers, (B,)."""
        apart = asked - self.rows[number]
        distance: Vector = np.sqrt(np.einsum("bw,bw->b", apart, apart)).astype(np.float64)
        return distance


@dataclass(frozen=True, slots=True)
class Memory:
    """K training rows of w inputs, times `weights` (w,), and what the distance to the nearest of them is worth.

    They are asked in levels: at first a few of them, at last all. `worth` (levels, 2): on a level a distance r is as
    rare among normal records as a reconstruction error of exp(worth[0]) * r**worth[1]. `clear` (): an error that nine
    in ten normal records stay below.
    """

    rows: Floats
    weights: Floats
    worth: Vector
    clear: Vector
    levels: tuple[Neighbours, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out the rows of each level."""
        object.__setattr__(self, "levels", _levels(self.rows, len(self.worth)))

    @classmethod
    def fit(
        cls, inputs: Floats, unseen: Sequence[RowNumbers], errors: Vector, *, size: int, weights: Vector | None
    ) -> tuple[Self, Vector]:
        """Keep at most `size` of (n, w) training inputs, evenly spread -> the memory, and the joined errors (n,).

        `errors` (n,) are reconstruction errors of rows held out. A row's distance is held out as well: it is to the
        rows kept of other stretches (`unseen`) than its own. An input counts by its `weights` (w,), None: all alike,
        and less where it now and then jumps: as in the residual score, it is measured by its jumps.
        """
        relative = np.ones(inputs.shape[1]) if weights is None else weights
        sample = inputs[:: max(1, len(inputs) // SAMPLE)].astype(np.float64)
        jumps = tails((sample - sample.mean(axis=0)) / (sample.std(axis=0) + PRECISION))
        weighing = (relative / jumps / np.linalg.norm(relative)).astype(np.float32)
        numbers = evenly([np.arange(len(inputs))], size)[0]
        rows = inputs[numbers] * weighing
        depth = 1 + max(0, int(np.log(len(rows) / FEWEST) / np.log(STEP)))
        far = np.empty((depth, len(inputs)))
        for stretch in unseen:
            own = slice(stretch[0], stretch[-1] + 1)
            elsewhere = rows[(numbers < own.start) | (numbers >= own.stop)]
            for distances, level in zip(far, _levels(elsewhere, depth), strict=True):
                distances[own] = level.nearest(inputs[own] * weighing)
        worth = np.array([_exchange(distances, errors) for distances in far])
        clear = np.exp(_largest(np.log(np.maximum(errors, _errors(far[-1], worth[-1]))))[0])
        memory = cls(rows, weighing, worth, np.array(clear))
        return memory, memory._cascade(errors, lambda level, left: far[level, left])

    def join(self, errors: Vector, inputs: Floats) -> Vector:
        """The larger of reconstruction errors (B,) and of what the distances of (B, w) inputs are worth, (B,).

        The nearest of some rows is no nearer than the nearest of all. Where even its distance would be worth no more
        than `clear`, or than the error, the other rows are not asked: what these few say will do, and no flag depends
        on it unless more than one normal record in ten is to be flagged.
        """
        asked = inputs * self.weights
        return self._cascade(errors, lambda level, left: self.levels[level].nearest(asked[left]))

    def _cascade(self, errors: Vector, far: Callable[[int, RowNumbers], Vector]) -> Vector:
        """Join errors (B,) with distances: `far` gives those on a level, of the rows that are left to ask about."""
        joined = errors.copy()
        left = np.arange(len(errors))
        for level, worth in enumerate(self.worth):
            distances = far(level, left)
            most = _errors(distances, self.worth[-1])
            joined[left] = np.maximum(errors[left], np.minimum(_errors(distances, worth), most))
            left = left[most > np.maximum(errors[left], self.clear)]
        return joined

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        return {"rows": self.rows, "weights": self.weights, "worth": self.worth, "clear": self.clear}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `arrays` returned."""
        return cls(*(arrays[name] for name in ("rows", "weights", "worth", "clear")))


def _levels(rows: Floats, depth: int) -> tuple[Neighbours, ...]:
    """From one in STEP ** (depth - 1) rows to all of them."""
    return tuple(Neighbours(np.ascontiguousarray(rows[:: STEP**finer])) for finer in reversed(range(depth)))


def _exchange(distances: Vector, errors: Vector) -> Vector:
    """What makes distances (n,) as large as errors (n,), by the largest of both, (2,): see `_errors`."""
    edge, spread = _largest(np.log(errors))
    far_edge, far_spread = _largest(np.log(distances))
    power = min(spread / far_spread, STEEPEST)
    return np.array([edge - power * far_edge, power])


def _errors(distances: Vector, worth: Vector) -> Vector:
    """What distances (n,) are worth as reconstruction errors, (n,)."""
    errors: Vector = np.exp(worth[0]) * distances ** worth[1]
    return errors


def _largest(logs: Vector) -> tuple[float, float]:
    """Where the largest of (n,) values begin, and how far they exceed that in the mean."""
    largest = np.sort(logs)[-max(1, round(LARGEST * len(logs))) :]
    return float(largest[0]), max(float(largest.mean() - largest[0]), LEAST_SPREAD)
