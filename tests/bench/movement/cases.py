"""What a kind of field is, and what generated fields are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aestream.inference.movement import Motion
from aestream.types import Vector

Random = np.random.Generator
Codes = npt.NDArray[np.intp]
Made = tuple[Vector, Codes | None, Vector | None]  # values, entities, times in seconds
Maker = Callable[[Random], Made]

N = 3000
START = 1.7e9


@dataclass(frozen=True)
class Case:
    """A kind of field: how to make one, what may be said of it, and the share of wrong verdicts that is tolerated."""

    make: Maker
    right: frozenset[Motion]
    tolerated: float = 0.0
    warned: bool = False  # a level must come with a warning


CASES: dict[str, Case] = {}


def case(*right: Motion, tolerated: float = 0.0, warned: bool = False) -> Callable[[Maker], Maker]:
    def add(make: Maker) -> Maker:
        CASES[make.__name__] = Case(make, frozenset(right), tolerated, warned)
        return make

    return add


def clock(n: int = N) -> Vector:
    return START + 15 * np.arange(float(n))


def counts(random: Random, n: int = N) -> Vector:
    return np.cumsum(random.integers(1000, 9000, n)).astype(float)


def restarted(random: Random, values: Vector, times: int) -> Vector:
    values = values.copy()
    margin = len(values) // 40 + 1
    for row in random.choice(np.arange(margin, len(values) - margin), times, replace=False):
        values[row:] -= values[row] - random.integers(0, 3)
    return values


def ar(random: Random, share: float, n: int = N) -> Vector:
    noise = random.normal(size=n)
    for row in range(1, n):
        noise[row] += share * noise[row - 1]
    return noise


def hosts(random: Random, count: int, offset: float = 2e6) -> tuple[Vector, Codes]:
    """Counters of several hosts, in turn."""
    values = np.stack([counts(random, N // count + 1) + offset * host for host in range(count)], 1)
    return values.ravel()[:N], turns(count)


def turns(count: int) -> Codes:
    """The numbers of so many entities that send their records in turn."""
    return np.arange(N) % count


def side_by_side() -> Codes:
    """Rows of two partitions, read a piece at a time."""
    pieces = np.array_split(np.arange(N), 6)
    return np.concatenate([piece[piece % 2 == odd] for piece in pieces for odd in (0, 1)])


def mixed(random: Random, places: int) -> Codes:
    """Rows that arrive up to so many places late."""
    return np.argsort(np.arange(N) + random.uniform(0, places, N))
