"""What normal records looked like: training rows that are kept, and how far a record is from the nearest of them.

A network follows the shape of the normal rows and passes over their gaps: a record between two dense groups may be
reconstructed well. The kept rows know the gaps. They can only add to a suspicion: what is like an anomaly among
the training rows is near to it, and not excused by that where the network finds it strange.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aestream.models.folds import RowNumbers, evenly
from aestream.scoring import PRECISION, tails

Vector: TypeAlias = npt.NDArray[np.float64]

# Distances computed at a time, which stay in a core's second cache.
BLOCK = 256_000
# Of twice as many rows or more, about so many are asked first: for most records one of them is near enough.
GLANCE = 1000
# How far an input jumps is learnt from about so many rows.
SAMPLE = 100_000
# Reconstruction error and distance are put on one scale by the largest of the training: this share of them, whose
# logarithms spread at least so much. Where distances hardly differ, twice as far is not more than this power of two.
LARGEST, LEAST_SPREAD, STEEPEST = 0.1, 0.01, 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """K training rows of w inputs, times `weights` (w,), and what the distance to the nearest of them is worth.

    `worth` (2,): a distance r is as rare among normal records as a reconstruction error of exp(worth[0]) * r**worth[1].
    """

    rows: Tensor
    weights: Tensor
    worth: Vector
    table: Tensor = field(init=False, repr=False)
    glance: "Memory | None" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay the rows out: (inputs, 1) @ table (w + 1, K) are the squared distances, less the inputs' own norm."""
        table = torch.cat([-2.0 * self.rows, self.rows.square().sum(dim=1, keepdim=True)], dim=1).T.contiguous()
        object.__setattr__(self, "table", table)
        apart = len(self.rows) // GLANCE
        some = Memory(self.rows[::apart].contiguous(), self.weights, self.worth) if apart > 1 else None
        object.__setattr__(self, "glance", some)

    @classmethod
    def fit(
        cls, inputs: Tensor, unseen: Sequence[RowNumbers], errors: Vector, *, size: int, weights: Vector | None
    ) -> tuple[Self, Vector]:
        """Keep at most `size` of (n, w) training inputs, evenly spread -> the memory, and the joined errors (n,).

        `errors` (n,) are reconstruction errors of rows held out. A row's distance is held out as well: it is to the
        rows kept of other stretches (`unseen`) than its own. An input counts by its `weights` (w,), None: all alike,
        and less where it now and then jumps: as in the residual score, it is measured by its jumps.
        """
        relative = np.ones(inputs.shape[1]) if weights is None else weights
        sample = inputs[:: max(1, len(inputs) // SAMPLE)].double().numpy()
        jumps = tails((sample - sample.mean(axis=0)) / (sample.std(axis=0) + PRECISION))
        weighing = torch.from_numpy((relative / jumps / np.linalg.norm(relative)).astype(np.float32))
        numbers = evenly([np.arange(len(inputs))], size)[0]
        rows = inputs[numbers] * weighing
        far = np.empty(len(inputs))
        for stretch in unseen:
            elsewhere = (numbers < stretch[0]) | (numbers > stretch[-1])
            others = cls(rows[elsewhere], weighing, np.zeros(2))
            far[stretch] = others.distances(inputs[stretch[0] : stretch[-1] + 1])[0]
        edge, spread = _largest(np.log(errors))
        far_edge, far_spread = _largest(np.log(far))
        power = min(spread / far_spread, STEEPEST)
        memory = cls(rows, weighing, np.array([edge - power * far_edge, power]))
        return memory, np.maximum(errors, memory._worth_of(far))

    def distances(self, inputs: Tensor) -> tuple[Vector, Tensor]:
        """Find the nearest row of (B, w) inputs -> the distance (B,), at least PRECISION, and its number (B,).

        A row does not vouch for itself: one that is asked about again is compared with the others.
        """
        asked = inputs * self.weights
        padded = torch.nn.functional.pad(asked, (0, 1), value=1.0)
        number = torch.cat(
            [_argmin(block @ self.table) for block in torch.split(padded, max(1, BLOCK // len(self.rows)))]
        )
        # The product loses the digits of what is near: once more, for the one row that counts.
        distance = torch.linalg.vector_norm(asked - self.rows[number], dim=1)
        itself = torch.nonzero(distance == 0)[:, 0]
        if len(itself):
            squared = padded[itself] @ self.table
            squared[torch.arange(len(itself)), number[itself]] = torch.inf
            number[itself] = _argmin(squared)
            distance[itself] = torch.linalg.vector_norm(asked[itself] - self.rows[number[itself]], dim=1)
        return distance.double().clamp_(min=PRECISION).numpy(), number

    def errors(self, inputs: Tensor) -> Vector:
        """What the distances of (B, w) inputs are worth as reconstruction errors, (B,)."""
        return self._worth_of(self.distances(inputs)[0])

    def join(self, errors: Vector, inputs: Tensor) -> Vector:
        """The larger of reconstruction errors (B,) and of what the distances of (B, w) inputs are worth, (B,).

        The nearest of some rows is no nearer than the nearest of all: where it is worth no more than the error, the
        other rows need not be asked, and the result is the same.
        """
        if self.glance is None:
            return np.maximum(errors, self.errors(inputs))
        asked = np.flatnonzero(self.glance.errors(inputs) > errors)
        joined = errors.copy()
        joined[asked] = np.maximum(errors[asked], self.errors(inputs[torch.from_numpy(asked)]))
        return joined

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what `from_arrays` reads."""
        return {"rows": self.rows.numpy(), "weights": self.weights.numpy(), "worth": self.worth}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Read what `arrays` returned."""
        return cls(torch.from_numpy(arrays["rows"]), torch.from_numpy(arrays["weights"]), arrays["worth"])

    def _worth_of(self, distances: Vector) -> Vector:
        errors: Vector = np.exp(self.worth[0]) * distances ** self.worth[1]
        return errors


def _largest(logs: Vector) -> tuple[float, float]:
    """Where the largest of (n,) values begin, and how far they exceed that in the mean."""
    largest = np.sort(logs)[-max(1, round(LARGEST * len(logs))) :]
    return float(largest[0]), max(float(largest.mean() - largest[0]), LEAST_SPREAD)


def _argmin(rows: Tensor) -> Tensor:
    """The place of the least of each row, (B, K) -> (B,): numpy's, which takes a twentieth of torch's time."""
    return torch.from_numpy(rows.numpy().argmin(axis=1))
