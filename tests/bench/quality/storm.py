"""A storm: fifty clear incidents of five rows, one soon after the other, each of them to be flagged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import RandomState

from aestream import Detector
from aestream.demo.incidents import Incident
from tests.bench.quality import ours
from tests.bench.quality.alarms import OURS, RATES, adaptations, count
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope, flat
from tests.bench.quality.data import Library, Rows

INCIDENTS, LENGTH = 50, 5
# Normal rows between two incidents, from and to.
SPACINGS = {"25 to 60 rows apart": (25, 60), "10 rows apart": (10, 10), "120 rows apart": (120, 120)}
# An incident's largest error is this far above the threshold, as a multiple of the distance between the median and the
# 99 % quantile of usual errors, in logarithms.
CLEAR = 1.5
TRAIN, CALM = 8_000, 4_000
FEATURES, FACTORS, MEMORY = 20, 4, 0.9
HALVINGS = 20


def storm(_library: Library, scope: Scope) -> Iterator[Cell]:
    """Each spacing at both rates, with the first seed."""
    if scope.wants(AESTREAM):
        for name in list(SPACINGS)[: 1 if scope.quick else None]:
            for rate in list(RATES)[: 1 if scope.quick else None]:
                yield from (Cell("storm", f"made/{name}", rate, scope.seeds[0], method) for method in OURS)


def measure_storm(cell: Cell, _library: Library) -> Figures:
    """Count the incidents found, and calm rows flagged."""
    random = RandomState(cell.seed)
    low, high = SPACINGS[cell.data.removeprefix("made/")]
    starts = np.cumsum(LENGTH + random.randint(low, high + 1, INCIDENTS)) + CALM
    incidents = tuple(Incident("", start, start + LENGTH - 1) for start in starts.tolist())
    label = np.zeros(starts[-1] + LENGTH + high, np.bool_)
    for incident in incidents:
        label[incident.rows] = True
    rows = waves(TRAIN + len(label), random)
    train, test = rows[:TRAIN], rows[TRAIN:]
    push = random.standard_normal(FEATURES)
    detector = ours.learnt(train, false_alarm_rate=RATES[cell.protocol], seed=cell.seed, **OURS[cell.method])
    judged = adaptations(cell.method, detector, pushed(detector, test, incidents, push))
    return flat({name: count(label, incidents, each.flags) for name, each in judged.items()})


def waves(rows: int, random: RandomState) -> Rows:
    """Make (n, d) rows: a few slow factors seen by all features, and noise."""
    steps = random.standard_normal((rows, FACTORS)) * (1 - MEMORY**2) ** 0.5
    factors = np.empty_like(steps)
    level = random.standard_normal(FACTORS)
    for row, step in enumerate(steps):
        level = MEMORY * level + step
        factors[row] = level
    made: Rows = factors @ random.standard_normal((FACTORS, FEATURES)) + 0.3 * random.standard_normal((rows, FEATURES))
    return made


def pushed(detector: Detector, rows: Rows, incidents: Sequence[Incident], direction: Rows) -> Rows:
    """Push the rows of each incident in one direction, until its largest error is as far above the threshold as asked.

    By bisection of all sizes at once, in powers of two.
    """
    usual = np.log(ours.judge(detector, rows).error[:CALM])
    wanted = np.log(detector.threshold) + CLEAR * (np.quantile(usual, 0.99) - np.median(usual))
    low, high = np.full(len(incidents), -10.0), np.full(len(incidents), 10.0)
    result = rows.copy()
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        for incident, size in zip(incidents, 2.0**middle, strict=True):
            result[incident.rows] = rows[incident.rows] + size * direction
        error = np.log(ours.judge(detector, result).error)
        short = np.array([error[incident.rows].max() for incident in incidents]) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return result
