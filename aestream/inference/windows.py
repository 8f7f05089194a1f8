"""Whether the records of an entity follow each other, for long enough to judge several together: `window="auto"`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aestream.inference import ranks
from aestream.inference.judgement import percent
from aestream.inference.labels import come_and_go
from aestream.inference.order import Order
from aestream.types import Flags, Matrix, Places, Vector

# How many records are judged together: more and fewer find less (`tests.bench.quality`).
ROWS = 10
# Enough windows to learn from, and enough records with one: until an entity has one, nothing of it can be flagged.
MIN_WINDOWS, MIN_FULL, MAX_WARMING = 100, 0.5, 0.1
# What is looked at, at most.
MAX_RECORDS, MAX_FEATURES = 10_000, 60
# The sample is cut into so many parts, and shuffled so often. Dependence is real where it is so many standard
# deviations beyond that of shuffled records, and worth a window where it explains so much of a feature. Tables in
# random order stay below 6 and series are above 10 on the data of `tests.bench.quality`.
PARTS, SHUFFLES, SURE, WORTH = 8, 40, 8.0, 0.02


@dataclass(frozen=True, slots=True)
class Window:
    """How many records of an entity to judge together, 1 or ROWS, and why."""

    rows: int
    why: str


def choose_window(
    matrix: Matrix,
    order: Order = Order(),  # noqa: B008 - immutable
    longest: Vector | None = None,
) -> Window:
    """Decide without labels, from (n, d) records, NaN where a value is missing, and their entities and times.

    Counters must be rates already: whatever only rises depends on what was before. `longest` (e,) is the longest
    interval of each entity, in seconds, that is no gap: its records begin anew after a longer one. None: never.
    """
    count = len(matrix)
    rows = np.arange(count) if order.rows is None else order.rows
    entity = np.zeros(count, np.intp) if order.entity is None else order.entity
    runs = _runs(entity, order.time, longest)
    place = np.arange(count) - np.maximum.accumulate(np.where(_begins(runs), np.arange(count), 0))
    full = place >= ROWS - 1
    if np.count_nonzero(full) < max(MIN_WINDOWS, MIN_FULL * count):
        few = f"only {np.count_nonzero(full)} of {count} records have {ROWS - 1} of their entity before them"
        return Window(1, f"{few}, without a longer gap")
    warming = float(np.mean(~full & _fresh(runs, entity, order)))
    if warming > MAX_WARMING:
        told = f"are among the first {ROWS - 1} of an entity, or after a gap, and could not be flagged"
        return Window(1, f"{percent(warming, 1)} of the records {told}")
    highest = _dependence(_moving(matrix[rows[:MAX_RECORDS]]), runs[:MAX_RECORDS])
    if not highest:
        return Window(1, "the records of an entity do not follow each other: none depends on those before it")
    return Window(ROWS, f"the records of an entity follow each other (autocorrelation up to {highest:.2f})")


def _moving(matrix: Matrix) -> Matrix:
    """The columns of (n, d) values that are not always the same, MAX_FEATURES at most."""
    there = np.where(np.isfinite(matrix), matrix, np.nan)
    low, high = np.fmin.reduce(there, axis=0), np.fmax.reduce(there, axis=0)
    moving = there[:, high > low]
    return moving[:, :: max(1, -(-moving.shape[1] // MAX_FEATURES))]


def _begins(runs: Places) -> Flags:
    begins: Flags = np.diff(runs, prepend=-1) != 0
    return begins


def _runs(entity: Places, time: Vector | None, longest: Vector | None) -> Places:
    """Number the runs of records (n,) of one entity without a gap; `entity` and `time` (n,) are in order."""
    begins = _begins(np.cumsum(_begins(entity)))
    if longest is not None and time is not None:
        begins[1:] |= np.diff(time) > longest[entity[1:]]
    return np.cumsum(begins) - 1


def _fresh(runs: Places, entity: Places, order: Order) -> Flags:
    """Which records (n,) belong to a run that begins within the sample: not to one that was there at its start."""
    first = _begins(entity) if len(entity) else np.zeros(0, bool)
    after_gap = _begins(runs) & ~first
    codes = np.cumsum(first) - 1
    seen = np.arange(len(entity)) if order.rows is None else order.rows
    if order.in_time is not None:
        arrival = np.empty(len(seen), np.intp)
        arrival[order.in_time] = np.arange(len(seen))
        seen = arrival[seen]
    in_time = np.argsort(seen)
    late, _ = come_and_go(codes[in_time], np.arange(len(codes)) / max(len(codes), 1), np.bincount(codes))
    fresh: Flags = (after_gap | (first & late[codes]))[
        np.maximum.accumulate(np.where(_begins(runs), np.arange(len(runs)), 0))
    ]
    return fresh


def _dependence(matrix: Matrix, runs: Places) -> float:
    """The highest autocorrelation of (n, d) values, at a lag below ROWS, if it is no chance; else 0.

    For each feature, the squared autocorrelations of its ranks are summed over the lags, as Box and Pierce (1970) do.
    Each is a product of the correlations in two different parts of the sample: what rare values show in one part only
    counts nothing. Records shuffled within their runs tell what chance gives, whatever the features have in common.
    """
    scores = ranks.within(matrix, runs)
    size = np.sqrt(np.square(scores).sum(axis=0))
    scores = (scores[:, size > 0] / size[size > 0]).astype(np.float32)
    if not scores.shape[1]:
        return 0.0
    pairs = [runs[lag:] == runs[:-lag] for lag in range(1, ROWS)]
    found, highest = _explained(scores, pairs)
    random = np.random.default_rng(0)
    shuffled = [_explained(scores[np.lexsort((random.random(len(runs)), runs))], pairs)[0] for _ in range(SHUFFLES)]
    chance = np.array(shuffled)  # (shuffles, d)
    total = chance.sum(axis=1)
    sure = found.sum() > total.mean() + SURE * total.std()
    worth = np.max(found - chance.mean(axis=0)) >= WORTH
    return highest if sure and worth else 0.0


def _explained(scores: Matrix, pairs: list[Flags]) -> tuple[Vector, float]:
    """The sum over lags of squared autocorrelations, (d,), of which every two parts agree; and the highest of all."""
    total, highest = np.zeros(scores.shape[1]), 0.0
    for lag, same in enumerate(pairs, 1):
        products = scores[lag:] * scores[:-lag]
        products[~same] = 0
        starts = np.linspace(0, len(products), PARTS, endpoint=False).astype(np.intp)
        parts = np.add.reduceat(products, starts, axis=0).astype(np.float64) / max(same.mean(), 1e-9)
        together = parts.sum(axis=0)
        highest = max(highest, float(np.abs(together).max()))
        total += (together**2 - (parts**2).sum(axis=0)) * PARTS / (PARTS - 1)
    return total, min(highest, 1.0)
