"""What becomes of the alarms when the data drift: a level that moves, a bad day, an entity that training has not seen.

    python -m tests.bench.drift    # the tables of docs/time.md, in two minutes

Eight hosts, simulated: four metrics that follow each other, at a level that differs by host. Each table has a column
for each false-alarm rate and adaptation, and gives the median of the hosts and the worst of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from aestream import Detector
from aestream.detector.detection import Detection
from aestream.types import Level, Matrix, Phase

HOSTS, TRAINING, AFTER = 8, 1000, 4000
INTERVAL, START = 10.0, 1.7e9  # seconds
RATES, ADAPTATIONS = (0.001, 0.01), ("off", "bounded", "held")
# Rows that are judged before anything happens; the rows after it that are counted first.
BEFORE, FIRST = 500, 1000
# Standard deviations by which a metric moves.
MOVES = (0.5, 1.5, 3.0, 10.0)
# A storm: so many incidents of so many rows, with so many rows between them.
INCIDENTS, LENGTH, BETWEEN = 50, 5, (25, 60)
STORMS = (1.5, 3.0)
# Entities that are not in training: their level, where those of the hosts are 20 to 40, and how much wider they spread.
NEW = {
    "like the others": (30.0, 1.0),
    "three times their spread": (30.0, 3.0),
    "another level": (60.0, 1.0),
    "another level and spread": (60.0, 3.0),
}


def host(seed: int, rows: int, level: float | None = None, spread: float = 1.0) -> Matrix:
    """Rows (n, 4) of one host: load, memory, latency and disk."""
    random, steps = np.random.default_rng(seed), np.arange(rows)
    level = random.uniform(20, 40) if level is None else level
    load = np.sin(steps / 20 + random.uniform(0, 6)) + 0.3 * random.normal(size=rows)
    slow = np.sin(steps / 33 + random.uniform(0, 6))
    noise = random.normal(size=(rows, 4)) * [0.5, 0.3, 0.2, 0.2]
    moving = np.stack([5 * load, 3 * slow, 1.5 * load, 2 * np.cos(steps / 20)], axis=1) + noise
    return level * np.array([1, 2, 0.1, 0.5]) + spread * moving


@dataclass(frozen=True)
class Fleet:
    """The hosts, and a detector that has learnt from their first rows."""

    rate: float
    rows: Sequence[Matrix]  # of each host (TRAINING + AFTER, 4)
    detector: Detector

    @classmethod
    def of(cls, rate: float, adaptation: str) -> Fleet:
        """Train on the first rows of all hosts."""
        rows = [host(number, TRAINING + AFTER) for number in range(HOSTS)]
        detector = Detector(false_alarm_rate=rate, adaptation=adaptation).fit(
            np.concatenate([own[:TRAINING] for own in rows]),
            keys=np.repeat(np.arange(HOSTS), TRAINING),
            times=np.tile(START + INTERVAL * np.arange(TRAINING), HOSTS),
        )
        return cls(rate, rows, detector)

    def judged(self, rows: Matrix, number: int) -> Detection:
        """Judge (n, 4) rows of one host, after its training."""
        times = START + INTERVAL * (TRAINING + np.arange(len(rows)))
        return self.detector.detect(rows, keys=np.full(len(rows), number), times=times)

    def later(self, number: int) -> tuple[Matrix, float]:
        """What comes after the training of a host, (AFTER, 4), and the standard deviation of its first metric."""
        rows = self.rows[number]
        return rows[TRAINING:].copy(), float(rows[:TRAINING, 0].std())


class Moved(NamedTuple):
    """What follows a level that moves: after how many rows it is held, and moved for good, is 0 for never."""

    flagged: int  # of the FIRST rows
    later: float  # the share of all later rows that is flagged
    episodes: int  # in the FIRST rows
    held: int
    gone: int


def moved(fleet: Fleet, size: float) -> Iterator[Moved]:
    """Let a metric move for good, by `size` standard deviations, host by host."""
    for number in range(HOSTS):
        rows, deviation = fleet.later(number)
        rows[BEFORE:, 0] += size * deviation
        found = fleet.judged(rows, number)
        flags, phase, level = found.anomaly[BEFORE:], found.phase[BEFORE:], found.level[BEFORE:]
        since = (
            int(np.argmax(level == code)) + 1 if (level == code).any() else 0 for code in (Level.HELD, Level.MOVED)
        )
        episodes = int((phase[:FIRST] == Phase.OPENED).sum())
        yield Moved(int(flags[:FIRST].sum()), float(flags[FIRST:].mean()), episodes, *since)


def storm(fleet: Fleet, size: float) -> Iterator[int]:
    """How many incidents are found where a metric is off by `size` standard deviations in each, host by host."""
    for number in range(HOSTS):
        rows, deviation = fleet.later(number)
        gaps = np.random.default_rng(number).integers(*BETWEEN, size=INCIDENTS, endpoint=True)
        starts = 100 + np.cumsum(LENGTH + gaps)
        for start in starts:
            rows[start : start + LENGTH, 0] += size * deviation
        found = fleet.judged(rows, number)
        yield sum(bool(found.anomaly[start : start + LENGTH].any()) for start in starts)


def new(fleet: Fleet, level: float, spread: float) -> Iterator[tuple[int, float]]:
    """Of new entities: how many of their first FIRST rows are flagged, and the share of all later ones."""
    for number in range(HOSTS, 2 * HOSTS):
        flags = fleet.judged(host(number, FIRST + AFTER, level, spread), number).anomaly
        yield int(flags[:FIRST].sum()), float(flags[FIRST:].mean())


def main() -> None:
    """Print the tables."""
    fleets = {f"{how}, {100 * rate:g} %": Fleet.of(rate, how) for rate in RATES for how in ADAPTATIONS}

    def table(head: str, rows: Mapping[str, Callable[[Fleet], str]]) -> None:
        print(f"\n| {head} | {' | '.join(fleets)} |\n|---|{'---:|' * len(fleets)}")
        for name, told in rows.items():
            print(f"| {name} | {' | '.join(map(told, fleets.values()))} |")

    sizes = {f"{size:g} standard deviations": size for size in MOVES}
    table(
        f"a metric moves for good by: flagged of {FIRST:,} rows, then times the rate",
        {name: partial(_flagged, of=moved, what=(size,)) for name, size in sizes.items()},
    )
    table("the same: episodes; held, moved after", {name: partial(_level, size=size) for name, size in sizes.items()})
    table(
        f"{INCIDENTS} incidents of: found",
        {f"{size:g} standard deviations": partial(_storm, size=size) for size in STORMS},
    )
    table(
        f"a new entity: flagged of {FIRST:,} rows, then times the rate",
        {name: partial(_flagged, of=new, what=what) for name, what in NEW.items()},
    )


def _flagged(fleet: Fleet, of: Callable[..., Iterator[Any]], what: tuple[float, ...]) -> str:
    flagged, later, *_ = zip(*of(fleet, *what), strict=True)
    return f"{_both(flagged)}, {np.median(later) / fleet.rate:.1f} x"


def _level(fleet: Fleet, size: float) -> str:
    judged = list(moved(fleet, size))
    episodes, held, gone = (_both([getattr(told, name) for told in judged]) for name in ("episodes", "held", "gone"))
    return f"{episodes}; {held}, {gone}"


def _storm(fleet: Fleet, size: float) -> str:
    return _both(list(storm(fleet, size)), min)


def _both(values: Sequence[float], worst: Callable[[Sequence[float]], float] = max) -> str:
    """The median, and the worst in brackets."""
    return f"{np.median(values):g} ({worst(values):g})"


if __name__ == "__main__":
    main()
