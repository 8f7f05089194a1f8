"""Which rows each member of an ensemble learns from, and which it never sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RowNumbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Folds:
    """For each member, the row numbers it may see and the contiguous stretch that it does not.

    Contiguous, because neighbours in time are alike: a row whose neighbours were seen is hardly held out. Together
    the unseen stretches are all the rows, in their order.
    """

    seen: Sequence[RowNumbers]
    unseen: Sequence[RowNumbers]

    @classmethod
    def of(cls, rows: int, members: int) -> "Folds":
        """Cut `rows` row numbers into as many stretches as there are members."""
        numbers = np.arange(rows)
        unseen = np.array_split(numbers, members)
        return cls([np.delete(numbers, fold) for fold in unseen], unseen)


def evenly(folds: Sequence[RowNumbers], at_most: int) -> RowNumbers:
    """Take equally many row numbers of each fold, spread over the whole of it -> (M, size)."""
    size = min(at_most, *(len(fold) for fold in folds))
    return np.stack([fold[np.linspace(0, len(fold) - 1, size).astype(np.int64)] for fold in folds])
