"""How an entity's threshold follows its errors, row by row: a rate controller whose reach is bounded.

All in log errors. The threshold of an entity is its bulk, which nine of ten rows do not exceed, plus a margin. Rows
above it are hot, and are remembered for a while. More of them than the rate allows widen the margin, fewer narrow it.
Frequency alone moves the threshold no further than a cap, so that a bad day does not silence the alarms. Only a level
that stays moves it further: rows that are all hot become the new bulk, and rows whose median has moved widen the cap.
Where alarms are too rare to count, they lie a distance beyond this threshold, which is steered by their number in the
same way.

Known limits: an incident of more than LEVEL_ROWS rows becomes a new level. A stream that grows calmer is flagged less
than requested. A slow drift that stays below the threshold from training is never called moved. At a rate of 0.1 %,
the first distance is short on purpose: steady noise is flagged nearly three times as often as requested.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeAlias

from aestream.state.usual import LEAST_RATE
from aestream.types import Level

Adaptation: TypeAlias = Literal["off", "bounded", "held"]

# The constants were chosen on 37 series (SMD, ASD, MSL) and on the recording of the demo.

# So many hot rows are due in the DUE / rate rows for which they are remembered.
DUE = 5.0
# An episode begins with a hot row after so many others, fewer at rates above LEAST_RATE. Its first rows count in full,
# the rest for less: an incident is one event, however long.
QUIET = 30
FULL, LESS = 3, 0.2
FULL_ALARMS, LESS_ALARMS = 5, 0.3
# Each hot row widens the margin by RAISE steps times the share of hot rows that is not due, which counts up to MOST.
# Other rows narrow it by what balances this at the requested rate, BACK times as fast where it is wider than training
# found, and down to LEAST_MARGIN of that. A new level was taken from few rows: then the margin may narrow as far as the
# former threshold.
RAISE, MOST = 0.4, 3.0
BACK, LEAST_MARGIN = 6.0, 0.35
# Each alarm at a rate below LEAST_RATE lengthens the distance by RAISE_DISTANCE spreads likewise. It keeps at least
# this share of what training found.
RAISE_DISTANCE = 4.0
LEAST_DISTANCE = 0.2
# Frequency alone raises margin and distance by no more than so many spreads each.
CAP = 0.38
# A level stays if LEVEL_ROWS rows in a row are hot. The bulk becomes what LEVEL_BULK of them do not exceed. RETURN rows
# in a row below the former threshold bring the former bulk back.
LEVEL_ROWS, LEVEL_BULK, RETURN = 20, 16, 20
# A level that moves by less than its noise is never hot for so long. The median of the rows that are not hot, followed
# in steps of so many spreads, shows it: as the share of rows above the threshold from training grows from the first of
# SHIFTED to the second, the margin may widen by as much as the median has moved. Incidents, however many, do not move
# the median.
MIDDLE_STEP, SHIFTED = 0.01, (0.05, 0.25)
# An entity has moved for good if more than MOVED of its rows exceed the threshold from training, in a mean that forgets
# with MEMORY rows. At the earliest, it has after SOONEST_MOVED rows.
MOVED, MEMORY, SOONEST_MOVED = 0.5, 500, 347


@dataclass(slots=True)
class Memory:
    """What is remembered of an entity: one value of 8 bytes each, but for the last hot rows."""

    bulk: float
    middle: float  # the median of the rows that are not hot
    margin: float
    distance: float
    hot: float  # hot rows, weighted and fading
    alarms: float  # alarms, likewise
    above: float  # the share of rows above the threshold from training
    former_bulk: float  # before a new level was taken; NaN if none was
    former_threshold: float
    last: list[float]  # the last rows, as far as all are hot
    streak: int  # how many these are
    quiet: int  # rows since the last hot one
    length: int  # hot rows of the episode
    below: int  # rows in a row below the former threshold
    since: int  # rows since the level moved; 0 if it has not


_KINDS: dict[Any, tuple[Any, ...]] = {"float": ("f8",), "int": ("i8",), "list[float]": ("f8", (LEVEL_ROWS,))}
LAYOUT: list[Any] = [(field.name, *_KINDS[field.type]) for field in fields(Memory)]
NAMES: list[str] = [field.name for field in fields(Memory)]


@dataclass(frozen=True, slots=True)
class Steps:
    """What the requested rate and the cap make of the constants."""

    rate: float  # of hot rows
    rare: float  # of alarms, where not every hot row is one; else 0
    cap: float  # in spreads
    least: float  # a share of the margin
    back: float  # how much faster a margin wider than usual narrows
    follows: float  # 1, or 0 if thresholds do not move
    quiet: int  # rows

    @classmethod
    def of(cls, rate: float, adaptation: str) -> Self:
        """Return the steps for a requested rate of false alarms."""
        often, rare = max(rate, LEAST_RATE), rate if rate < LEAST_RATE else 0.0
        cap, least, back = (math.inf, -math.inf, 1.0) if adaptation == "held" else (CAP, LEAST_MARGIN, BACK)
        return cls(often, rare, cap, least, back, float(adaptation != "off"), math.ceil(QUIET * LEAST_RATE / often))


@dataclass(slots=True)
class Follower(Memory):
    """Judges the rows of one entity one after another: the rule as it is meant.

    `usual` has the fields of USUAL. `alarm_rounds.py` does the same for many entities at once, to the bit.
    """

    steps: Steps
    usual: Mapping[str, float]

    def judge(self, log: float) -> float:
        """Return the log threshold for a row with this log error, and learn from the row."""
        steps, usual = self.steps, self.usual
        unit, step = steps.follows * usual["spread"], steps.follows * usual["step"]
        self.hot *= 1 - steps.rate / DUE
        if steps.rare:
            self.alarms *= 1 - steps.rare / DUE
            ease = 1.0 if self.distance > usual["distance"] else max(1 - self.alarms / DUE, 0.0)
            least = LEAST_DISTANCE * usual["distance"]
            self.distance = max(self.distance - RAISE_DISTANCE * steps.rare * unit * ease, least)
        edge = self.bulk + self.margin
        threshold = edge + self.distance
        hot = log > edge
        if hot:
            self._heat(log, log > threshold)
        else:
            self.quiet, self.streak = self.quiet + 1, 0
            self.middle += MIDDLE_STEP * unit * ((log > self.middle) - (log < self.middle))
            ease = max(1 - self.hot / DUE, 0.0) * (steps.back if self.margin > usual["margin"] else 1.0)
            least = steps.least * usual["margin"]
            if self.former_threshold < self.bulk + least:
                least = self.former_threshold - self.bulk
            self.margin = max(self.margin - RAISE * steps.rate * step * ease, least)
        self.since += self.since > 0
        if self.streak == LEVEL_ROWS:
            self._rise(edge)
        self.below = self.below + 1 if log < self.former_threshold else 0
        self.above += ((log > usual["threshold"]) - self.above) / MEMORY
        if self.below >= RETURN:
            self._return()
        if math.isnan(self.former_threshold):
            self.since = max(self.since, SOONEST_MOVED) if self.above > MOVED else 0
        return threshold

    @property
    def level(self) -> Level:
        """Where the entity's errors lie after the last row."""
        if self.above > MOVED:
            return Level.MOVED
        return Level.USUAL if math.isnan(self.former_threshold) or not self.steps.follows else Level.HELD

    def _heat(self, log: float, alarm: bool) -> None:
        """Remember a hot row, and widen the margin and the distance."""
        usual, unit = self.usual, self.steps.follows * self.usual["spread"]
        step = self.steps.follows * usual["step"]
        self.last[self.streak] = log
        self.streak += 1
        self.length = 1 if self.quiet >= self.steps.quiet else self.length + 1
        self.quiet = 0
        weight = 1.0 if self.length <= FULL else LESS
        self.hot += weight
        most = usual["spread"] * self.steps.cap
        shifted = min(max((self.above - SHIFTED[0]) / (SHIFTED[1] - SHIFTED[0]), 0.0), 1.0)
        room = shifted * max(usual["bulk"] + max(self.middle - usual["middle"], 0.0) - self.bulk, 0.0)
        raised = self.margin + step * RAISE * weight * _excess(self.hot)
        self.margin = min(raised, usual["margin"] + most + room)
        if alarm and self.steps.rare:
            weight = 1.0 if self.length <= FULL_ALARMS else LESS_ALARMS
            self.alarms += weight
            raised = self.distance + unit * RAISE_DISTANCE * weight * _excess(self.alarms)
            self.distance = min(raised, usual["distance"] + most)

    def _rise(self, edge: float) -> None:
        """Take the last hot rows as the new level."""
        if math.isnan(self.former_threshold):
            self.former_bulk, self.former_threshold = self.bulk, edge
            self.since = LEVEL_ROWS
        if self.steps.follows:
            self.bulk = max(self.bulk, sorted(self.last)[LEVEL_BULK - 1])
            self.hot = min(self.hot, DUE)
        self.streak = 0

    def _return(self) -> None:
        """Go back to the former level."""
        self.bulk, self.former_bulk, self.former_threshold = self.former_bulk, math.nan, math.nan
        self.above, self.below, self.since = min(self.above, MOVED), 0, 0


def _excess(remembered: float) -> float:
    return min(max(remembered / DUE - 1, 0.0), MOST)
