"""How a numeric field moves over a sample: a level that a model can learn, or values that leave what was learnt."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from aestream.inference.clocks import epoch_unit, is_recent, may_be_past, moves_with_time
from aestream.inference.order import Order, Series
from aestream.types import Vector

# With fewer values than this, no movement proves anything.
MIN_EVIDENCE = 30
# A field that only rises must do so this often, or have stayed so many values at its last level; means of several
# values rise this often.
MIN_RISES, MIN_STAY, MIN_MEAN_RISES = 3, 30, 20
# The share of steps back that restarts and swapped records may make up.
MAX_BACK = 0.1
# The means of so many values hide noise and records that arrive in a slightly different order.
MEANS = (8, 32)
# A tooth ends where this share of what was gained is undone. A level is a sawtooth whose bounds were seen: with MANY
# teeth, and ALL_TEETH of all entities, as the next one is higher than all before with a chance of 1 / (ALL_TEETH + 1);
# or with SOME that have this share of the range. Counters of 32 bits that wrap around are not.
UNDONE, MANY_TEETH, ALL_TEETH, SOME_TEETH, EQUAL_HEIGHT = 0.5, 6, 20, 4, 0.7
WRAPS = (2.0**31, 2.0**32)
NEAR_WRAP = 0.8
# So many values at most are searched for several counters in one.
MAX_CHAINED = 4000
# The share of what as many shuffled values need that rising series need at most, to cover all values.
CHAINED = 0.35
# The halves of the sample lie apart by this much, or their values alternate so often for each series.
APART, ALTERNATIONS = 0.2, 2
# Series in turn go back once for all of them; if they are read in any order, more often.
MIN_TURNS, MAX_TURNS = 0.5, 0.25
# A fall from one series to another is at least this share of the range.
JUMP = 0.1
# More series than this may also be the noise of one level that runs away.
MAX_SURE = 12
# A level that moves on by this many times its noise leaves what was learnt; by this many, it is worth a word.
RUNS_AWAY, MOVES_ON = 6.0, 2.0
# The correlation of a level's medians with time from which it grows.
GROWS = 0.9
# An entity with so many values is judged alone, too, so many entities at most. What this share of them does is worth
# a word; what so many do, at least two, would flag more records than anybody wants to see.
MIN_ALONE, MAX_ALONE, SOME, MANY = 100, 200, 0.05, 0.2
_SIGMAS = 2.563  # between the tenth and the ninetieth percentile of a normal distribution


class Motion(StrEnum):
    """How a field moves: only a level can be learnt as it is."""

    LEVEL = "level"
    COUNTER = "counter"
    CLOCK = "clock"
    RISING = "rising"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class Move:
    """How a field moves, as `told` to people, or the `warning` that goes with a level that is kept.

    `several`: it does so in each of several series that nothing tells apart, so that its steps mean nothing.
    """

    motion: Motion = Motion.LEVEL
    told: str = ""
    warning: str = ""
    several: bool = False


def judge(values: Vector, order: Order = Order()) -> Move:  # noqa: B008 - immutable
    """Judge how a field's values (n,), NaN where missing, move in `order`.

    A counter only rises, apart from restarts and a few records out of order. A clock has values between 2001 and 2100
    that move with the records' own times. A rising or falling field leaves the range that a model would learn.
    """
    series = Series.of(values, order)
    if len(series.values) < MIN_EVIDENCE or np.ptp(series.values) == 0:
        return Move()
    unit = epoch_unit(series.values)
    clock = Move(Motion.CLOCK, f"a timestamp: {unit} since 1970")
    if unit and moves_with_time(series, unit):
        return clock
    move = _one_way(series) or _one_way(series.merged()) or _stays(series) or _both_ways(series)
    if unit and not np.any(series.steps() < 0) and may_be_past(series, unit):
        return clock
    if unit and move.motion in {Motion.COUNTER, Motion.RISING} and is_recent(series, unit):
        return clock
    if unit and move == Move() and may_be_past(series, unit):
        return Move(warning=f"looks like {unit} since 1970, in no order: exclude it if it is a time")
    return _in_some(series) if move == Move() else move


def _in_some(series: Series) -> Move:
    """Judge a level by entity: it may run away in some of them, as on the disks that fill."""
    long = np.flatnonzero(series.lengths >= MIN_ALONE)
    if len(long) < 2:  # noqa: PLR2004 - one entity has been judged as a whole
        return Move()
    long = long[:: math.ceil(len(long) / MAX_ALONE)]
    alone = [
        series.values[start : start + count]
        for start, count in zip(series.starts[long], series.lengths[long], strict=True)
    ]
    ways = [motion for values in alone if (motion := _trend(Series.of(values, Order())).motion) is not Motion.LEVEL]
    running = len(ways)
    if running < max(1.0, SOME * len(alone)):
        return Move()
    told = f"moves one way all through the sample in {running} of {len(alone)} entities"
    if running >= max(2.0, MANY * len(alone)):
        return Move(ways[0], told)
    return Move(warning=f"{told}: what follows there may be flagged; train often, or leave it out with `exclude`")


def only_rises(values: Vector, order: Order, enough: int) -> bool:
    """Whether values (n,) only rise within each entity, as a counter's do, and at least so often."""
    series = Series.of(values, order)
    if len(series.values) < MIN_EVIDENCE or np.count_nonzero(series.steps() > 0) < enough:
        return False
    move = _one_way(series) or _one_way(series.merged())
    return move is not None and move.motion is Motion.COUNTER


def _one_way(series: Series) -> Move | None:
    """Judge a field whose steps nearly all go one way; None for any other."""
    sign = _direction(series, MIN_RISES)
    if not sign or _is_sawtooth(series, sign):
        return None
    if sign > 0:
        return Move(Motion.COUNTER, f"a counter: only rises{_within(series)}{_restarts(series)}")
    return Move(Motion.FALLING, f"only falls{_within(series)}, from {_ends(series)}")


def _stays(series: Series) -> Move | None:
    """Judge a field that has risen once or twice, and never fallen; None for any other.

    What rises by one twice counts rare events. Any other may be a setting that was changed.
    """
    steps = series.steps()
    moved = np.flatnonzero(steps)
    if not len(moved) or len(moved) >= MIN_RISES or np.any(steps < 0):
        return None
    entity = np.searchsorted(series.starts, moved, side="right") - 1
    stayed = (series.starts + series.lengths)[entity] - moved - 1
    if np.any(stayed < MIN_STAY):
        return None
    if len(moved) > 1 and np.all(steps[moved] == 1) and np.all(series.values == np.floor(series.values)):
        return Move(Motion.COUNTER, f"counts what is rare: rose by 1 twice{_within(series)}, and never fell")
    often = "once" if len(moved) == 1 else "twice"
    return Move(warning=f"rose {often} and never fell: if it moves on, all that follows is flagged")


def _both_ways(series: Series) -> Move:
    """Judge a field whose steps go both ways: several counters in one, or a level, which may run away under noise."""
    count = _interleaved(series.in_time)
    if abs(count) > MAX_SURE or not _jumps(series):
        move = _smoothed(series) or _trend(series)
        if not count or move.motion is not Motion.LEVEL:
            return move
    elif not count:
        return _trend(series)
    told = f"in each of about {abs(count)} series in one: name what tells them apart in `key`"
    if count > 0:
        return Move(Motion.COUNTER, f"a counter: only rises, {told}", several=True)
    return Move(Motion.FALLING, f"only falls, {told}", several=True)


def _smoothed(series: Series) -> Move | None:
    """Judge a field of which the means of several values nearly all go one way; None for any other."""
    for size in MEANS:
        means = series.means(size)
        sign = _direction(means, MIN_MEAN_RISES)
        if sign and not _is_sawtooth(means, sign):
            return _running(sign, series)
    return None


def _direction(series: Series, enough: int) -> int:
    """1 if nearly all steps rise and `enough` do, -1 if they fall, else 0."""
    steps = series.steps()
    rises, falls = np.count_nonzero(steps > 0), np.count_nonzero(steps < 0)
    if max(rises, falls) < enough or min(rises, falls) > MAX_BACK * (rises + falls):
        return 0
    return 1 if rises > falls else -1


def _is_sawtooth(series: Series, sign: int) -> bool:
    """Whether values that move one way return so often, or so regularly, that their bounds were seen."""
    values = sign * series.values
    falls = np.concatenate([[False], sign * series.steps() < 0, [False]])
    top, bottom = np.flatnonzero(~falls[:-1] & falls[1:]), np.flatnonzero(falls[:-1] & ~falls[1:])
    entity = np.searchsorted(series.starts, top, side="right") - 1
    fresh = np.diff(entity, prepend=-1) > 0
    fall = values[top] - values[bottom]
    gain = values[top] - values[np.where(fresh, series.starts[entity], np.roll(bottom, 1))]
    teeth = (gain > 0) & (fall >= UNDONE * gain)
    if not teeth.any() or (sign > 0 and _wraps(values[top[teeth]])):
        return False
    count = np.count_nonzero(teeth)
    each = count / len(np.unique(entity[teeth]))
    size = np.maximum.reduceat(values, series.starts) - np.minimum.reduceat(values, series.starts)
    height = np.median((fall / size[entity])[teeth])
    many = each >= MANY_TEETH and count >= ALL_TEETH
    return bool(many or (each >= SOME_TEETH and height >= EQUAL_HEIGHT))


def _wraps(tops: Vector) -> float:
    """The number at which a counter with these last values before a restart wraps around; 0 if it does not."""
    return next((wrap for wrap in WRAPS if NEAR_WRAP * wrap <= np.median(tops) and tops.max() < wrap), 0.0)


def _restarts(series: Series) -> str:
    steps = series.steps()
    after = series.values[1:]
    back = np.flatnonzero((steps < 0) & (after <= (after - steps) / 2))
    if not len(back):
        return ""
    wrap = _wraps(series.values[back])
    if wrap:
        return f", and starts again at 2^{math.log2(wrap):.0f}"
    return f", {len(back)} restart{'s' if len(back) > 1 else ''}"


def _interleaved(values: Vector) -> int:
    """How many counters the values, in the order of time, come from; less than 0 if they fall, 0 for other values.

    So many rising series cover all values: as many as the longest falling series among them is long (Dilworth's
    theorem). Shuffled, they would need about 2 sqrt(n).
    """
    values = values[np.append(True, np.diff(values) != 0)]
    if len(values) > MAX_CHAINED:
        values = values[np.linspace(0, len(values) - 1, MAX_CHAINED).astype(np.intp)]
    count, rises = len(values), float(np.mean(np.diff(values) > 0))
    limit, (apart, alternations) = CHAINED * 2 * math.sqrt(count), _halves(values)
    for sign, turns in ((1, 1 - rises), (-1, rises)):
        # Series in turn go back as often as there are series. One that moves one way for long does not.
        least = alternations / ALTERNATIONS
        if apart > APART and turns:
            least = min(least, MIN_TURNS / turns)
        if least > limit:
            continue
        chains = _chains(sign * values, limit)
        if least <= chains <= limit:
            shuffled = np.random.default_rng(0).permutation(values)
            if _chains(sign * shuffled, chains / CHAINED) * CHAINED >= chains and _take_turns(sign * values):
                return sign * chains
    return 0


def _take_turns(values: Vector) -> bool:
    """Whether the values at which rising series in turn begin, and end, are from few series as well.

    Those of a gauge that rises for long and falls are in no order. Series in any order turn too often to tell.
    """
    turns = np.flatnonzero(np.diff(values) < 0)
    if len(turns) > MAX_TURNS * len(values):
        return True
    limit = CHAINED * 2 * math.sqrt(len(turns))
    return all(_chains(ends, limit) <= limit for ends in (values[turns], values[turns + 1]))


def _jumps(series: Series) -> bool:
    """Whether most falls are large, as from one series to another, and not the noise of one."""
    steps = series.steps()
    falls = -steps[steps < 0]
    return bool(len(falls)) and bool(np.median(falls) > JUMP * np.ptp(series.values))


def _halves(values: Vector) -> tuple[float, int]:
    """How far the first half of the values lies from the second, and how often they alternate in the order of size.

    The distance is the largest difference of their distributions (as Kolmogorov and Smirnov measure it). Values that
    only rise alternate once for each series, others at every second value.
    """
    count, half = len(values), len(values) // 2
    shuffled = np.random.default_rng(0).permutation(count)  # so that equal values are in no order
    rows = shuffled[np.argsort(values[shuffled], kind="stable")]
    first = rows < half
    changes = np.append(np.diff(values[rows]) > 0, True)
    apart = np.abs(np.cumsum(np.where(first, 1 / half, -1 / (count - half)))[changes])
    return float(apart.max()), int(np.count_nonzero(first[1:] != first[:-1]))


def _chains(values: Vector, limit: float) -> int:
    """How many rising series cover the values; counts no further than just above the limit."""
    tails: list[float] = []  # the last value of each series, sorted
    for value in values.tolist():
        place = bisect_right(tails, value)
        if place:
            tails[place - 1] = value
        else:
            tails.insert(0, value)
            if len(tails) > limit:
                break
    return len(tails)


def _trend(series: Series) -> Move:
    """Judge a level by the tenths of the sample: one that moves on all the time, or ends at its extreme."""
    blocks = series.blocks()
    low, middle, high = (np.array([block[int(q * (len(block) - 1))] for block in blocks]) for q in (0.1, 0.5, 0.9))
    noise = float(np.median(high - low)) / _SIGMAS
    slack = 2 * noise / math.sqrt(len(blocks[0]))
    moved = float(middle[-1] - middle[0])
    sign = 1 if moved > 0 else -1
    steady = all(bool(np.all(sign * np.diff(line) > -slack)) for line in (low, middle, high))
    if steady and abs(moved) >= RUNS_AWAY * noise:
        return _running(sign, series)
    before = np.sort(np.concatenate(blocks[:-1]))
    extreme = before[int((0.99 if sign > 0 else 0.01) * (len(before) - 1))]
    with np.errstate(divide="ignore", invalid="ignore"):  # medians so close to each other, or so far, that squares fail
        grows = sign * np.corrcoef(middle, np.arange(len(middle)))[0, 1] > GROWS if moved else False
    if abs(moved) >= MOVES_ON * noise and (grows or sign * (middle[-1] - extreme) > 0):
        end = "maximum" if sign > 0 else "minimum"
        return Move(warning=f"ends the sample at its {end}: if it moves on, all that follows is flagged")
    return Move()


def _running(sign: int, series: Series) -> Move:
    way, motion = ("rises", Motion.RISING) if sign > 0 else ("falls", Motion.FALLING)
    return Move(motion, f"{way} all through the sample{_within(series)}, from {_ends(series)}")


def _within(series: Series) -> str:
    return " within each entity" if len(series.starts) > 1 else ""


def _ends(series: Series) -> str:
    tenth = max(len(series.in_time) // 10, 1)
    return f"{np.median(series.in_time[:tenth]):.4g} to {np.median(series.in_time[-tenth:]):.4g}"
