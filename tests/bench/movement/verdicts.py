"""What is said of generated fields, and whether that is wrong."""

import numpy as np

from aestream.inference.movement import Motion, Move, judge
from aestream.inference.order import Order
from tests.bench.movement import forward, levels
from tests.bench.movement.cases import CASES, Case

__all__ = ["CASES", "forward", "levels", "verdicts", "wrong"]


def wrong(verdict: Move, expected: Case) -> bool:
    if expected.warned and verdict.motion is Motion.LEVEL and not verdict.warning:
        return True
    return verdict.motion not in expected.right


def verdicts(name: str, seeds: int) -> list[Move]:
    made = [CASES[name].make(np.random.default_rng(seed)) for seed in range(seeds)]
    return [judge(values, Order.of(entities, times)) for values, entities, times in made]
