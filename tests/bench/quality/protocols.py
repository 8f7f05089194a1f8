"""How rows are divided: what is learnt from, what is judged. The same seed gives the same rows on every machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from sklearn.model_selection import train_test_split

from tests.bench.quality.data import Labels, Rows

AT_MOST = 6_000
TEST_SHARE = 0.3
FAR = 4.0
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from (n, d), rows to judge (m, d), and which of those are anomalies (m,)."""

    train: Rows
    test: Rows
    label: Labels


def novelty(rows: Rows, label: Labels, seed: int) -> Split:
    """Learn from a random half of the normal rows; judge the other half and all anomalies."""
    random = RandomState(seed)
    rows, label = _some(rows, label, random)
    normal = random.permutation(np.flatnonzero(~label))
    train, rest = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    judged = np.concatenate([rest, np.flatnonzero(label)])
    return standardised(rows[train], rows[judged], label[judged])


def contaminated(rows: Rows, label: Labels, seed: int) -> Split:
    """Learn from 70 % of all rows, anomalies among them and not marked; judge the rest. Stratified."""
    rows, label = _some(rows, label, RandomState(seed))
    train, judged = train_test_split(np.arange(len(rows)), test_size=TEST_SHARE, stratify=label, random_state=seed)
    return standardised(rows[train], rows[judged], label[judged])


def halves(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Divide (n, d) normal rows at random: what is learnt from, and what is held out. At most 6,000 rows."""
    order = RandomState(seed).permutation(len(rows))[:AT_MOST]
    return rows[order[: len(order) // 2]], rows[order[len(order) // 2 :]]


def spaced(rows: Rows) -> Rows:
    """Take at most 3,000 of (n, d) rows of a series, spread over the whole of it."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), AT_MOST // 2)).astype(int)
    chosen: Rows = rows[places]
    return chosen


def drawn_in(train: Rows, held_out: Rows) -> tuple[Rows, Rows]:
    """Standardise by the first, leave out the columns that are constant there, and draw in what is far.

    Beyond 4 standard deviations a value grows with its logarithm: squares of a few far rows would decide everything.
    """
    deviation = train.std(axis=0)
    moving = deviation > TINY * np.maximum(1.0, np.abs(train.mean(axis=0)))
    scaled = standardised(train[:, moving], held_out[:, moving], np.zeros(len(held_out), np.bool_))
    return _soft(scaled.train), _soft(scaled.test)


PROTOCOLS: dict[str, Callable[[Rows, Labels, int], Split]] = {"novelty": novelty, "contaminated": contaminated}


def _some(rows: Rows, label: Labels, random: RandomState) -> tuple[Rows, Labels]:
    chosen = random.permutation(len(rows))[:AT_MOST]
    return rows[chosen], label[chosen]


def _soft(rows: Rows) -> Rows:
    reach = np.abs(rows)
    soft: Rows = np.where(reach > FAR, np.copysign(FAR + np.log1p(np.maximum(reach - FAR, 0.0)), rows), rows)
    return soft


def standardised(train: Rows, test: Rows, label: Labels) -> Split:
    """By mean and standard deviation of the training rows; what is constant there keeps its unit."""
    center, deviation = train.mean(axis=0), train.std(axis=0)
    deviation[deviation == 0] = 1.0
    return Split((train - center) / deviation, (test - center) / deviation, label)
