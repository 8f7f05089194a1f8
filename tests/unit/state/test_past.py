"""Whole batches against a reference that takes one record at a time."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from aestream.state import clocks
from aestream.state.clocks import BACK
from aestream.state.past import Past, Steps
from aestream.types import Matrix, Places, Status, Vector

NAN = float("nan")


@dataclass
class Entity:
    """What the reference knows of one entity: everything."""

    last: float = -np.inf
    first: float = np.inf
    run: list[list[float]] = field(default_factory=list)
    bases: dict[int, list[tuple[float, float]]] = field(default_factory=dict)  # (time, reading) by column
    rates: dict[int, float] = field(default_factory=dict)
    behind: list[float] = field(default_factory=list)  # times of late records that speak against `last`


@dataclass
class Seen:
    window: Matrix
    status: Status
    fresh: bool


class Reference:
    """One record at a time, as the rules are told."""

    def __init__(self, past: Past, longest: Vector) -> None:
        self.past = past
        self.longest = longest
        self.entities: dict[int, Entity] = {}

    def see(self, owner: int, reading: Vector, time: float | None) -> Seen:
        entity = self.entities.setdefault(owner, Entity())
        if time is not None and np.isfinite(time) and self.lied(entity, time, self.longest[owner]):
            entity = self.entities[owner] = Entity()
        known = entity.last > -np.inf
        if time is None:
            time = np.floor(entity.last) + 1 if known else 0.0
        if not np.isfinite(time):
            time = entity.last
        late = time < entity.last
        kept = {column: list(bases[-50:]) for column, bases in entity.bases.items()}
        row = list(reading)
        for column in map(int, self.past.counters):
            row[column] = self.rate(entity, column, reading[column], time, late=late)
        if late:
            window = [*entity.run, row][-self.past.window :]
            entity.bases = kept
            return Seen(self.padded(window), Status.LATE, fresh=False)
        gap = known and time - entity.last > self.longest[owner]
        if gap:
            entity.run = []
        fresh = not entity.run
        passed = time > entity.first
        if passed and not entity.last > entity.first:
            for column, earlier in itertools.product(map(int, self.past.counters), entity.run):
                earlier[column] = row[column]
        entity.run.append(row)
        entity.last = time
        if time > -np.inf:
            entity.first = min(entity.first, time)
        warming = len(entity.run) < self.past.window or (len(self.past.counters) > 0 and not passed)
        window = entity.run[-self.past.window :]
        return Seen(self.padded(window), Status.WARMING if warming else Status.SCORED, fresh)

    @staticmethod
    def lied(entity: Entity, time: float, longest: float) -> bool:
        early = time < entity.last - max(longest, clocks.FAR)
        if not early or (entity.behind and time < entity.behind[-1]):
            entity.behind = []
        if early and time not in entity.behind[-1:]:
            entity.behind.append(time)
        return len(entity.behind) == BACK

    def padded(self, window: list[list[float]]) -> Matrix:
        return np.array([window[0]] * (self.past.window - len(window)) + window)

    @staticmethod
    def rate(entity: Entity, column: int, reading: float, time: float, *, late: bool) -> float:
        bases = entity.bases.setdefault(column, [])
        remembered = [bases[-1]] if bases else []
        remembered += [base for base in bases if base[0] < bases[-1][0]][-1:]
        base = next((base for base in remembered if base[0] < time), None)
        if not np.isfinite(reading):
            return NAN
        if not late and time > -np.inf:
            bases.append((time, reading))
        if base is None:
            return NAN
        elapsed = time - base[0]
        if reading >= base[1]:
            rate = (reading - base[1]) / elapsed
        else:
            rate = max(reading, 0.0) / elapsed
            if not late:
                rate = max(rate, entity.rates.get(column, -np.inf))
        if not late:
            entity.rates[column] = rate
        return rate


@dataclass
class Records:
    owner: Places
    matrix: Matrix
    times: Vector | None


def records(seed: int, *, entities: int, counters: int, timed: bool, rows: int = 160, features: int = 4) -> Records:
    """Records with late ones, equal times, gaps, unknown times, resets, and counters that are missing."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, entities, rows)
    matrix = rng.normal(size=(rows, features))
    for column in range(counters):
        steps = rng.choice([0.0, 1.0, 7.0, 1e6], size=rows, p=[0.2, 0.5, 0.28, 0.02])
        total = steps.cumsum()
        total[rng.random(rows) < 0.15] *= rng.choice([0.0, 0.01, 0.5])
        matrix[:, column] = total
    matrix[rng.random((rows, features)) < 0.1] = NAN
    if not timed:
        return Records(owner, matrix, None)
    times = 1.7e9 + rng.choice([0.0, 0.001, 1.0, 30.0], size=rows, p=[0.35, 0.2, 0.4, 0.05]).cumsum().round(3)
    early = rng.random(rows) < 0.15
    times[early] -= rng.choice([0.001, 1.0, 5.0], size=early.sum())
    times[rng.random(rows) < 0.1] = rng.choice([NAN, np.inf])
    return Records(owner, matrix, times)


def seen(steps: Steps) -> list[Seen]:
    return [
        Seen(window, Status(status), fresh=bool(fresh))
        for window, status, fresh in zip(steps.rows[steps.windows], steps.status, steps.fresh, strict=True)
    ]


def blank(past: Past, entities: int) -> NDArray[np.void]:
    return np.full(entities, past.blank)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize(("window", "counters"), list(itertools.product((1, 2, 5), (0, 1, 3))))
def test_a_batch_is_seen_as_one_record_at_a_time(
    monkeypatch: pytest.MonkeyPatch, window: int, counters: int, timed: bool
) -> None:
    monkeypatch.setattr(clocks, "FAR", 0.0)  # clocks are taken back within the minutes of these batches
    gaps = ([np.inf], [20.0], [1.0], [20.0, 1.0, np.inf], [np.inf], [20.0])
    for seed, (entities, gap) in enumerate(itertools.product((1, 3, 60), gaps)):
        past, longest = Past(4, window, np.arange(counters)), np.resize(gap, entities)
        reference = Reference(past, longest)
        values = blank(past, entities)
        for part in range(3):
            batch = records(100 * seed + part, entities=entities, counters=counters, timed=timed)
            times = None if batch.times is None else batch.times + 40 * part
            each = itertools.repeat(None, len(batch.owner)) if times is None else times
            expected = [reference.see(*record) for record in zip(batch.owner, batch.matrix, each, strict=True)]
            steps = past.follow(values, longest, batch.owner, batch.matrix, times)
            for row, (found, wanted) in enumerate(zip(seen(steps), expected, strict=True)):
                assert np.array_equal(found.window, wanted.window, equal_nan=True), (seed, part, row)
                assert (found.status, found.fresh) == (wanted.status, wanted.fresh), (seed, part, row)
            expected_order = [
                row
                for entity in range(entities)
                for row in np.flatnonzero(batch.owner == entity)
                if expected[row].status != Status.LATE
            ]
            assert steps.order.tolist() == expected_order


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize(("window", "counters"), [(1, 2), (6, 0), (6, 2)])
def test_pieces_of_any_size_are_seen_as_the_whole(window: int, counters: int, timed: bool) -> None:
    past, longest = Past(4, window, np.arange(counters)), np.array([20.0, 1.0, 20.0, np.inf, 5.0])
    for seed in range(10):
        batch = records(seed, entities=5, counters=counters, timed=timed)
        whole = blank(past, 5)
        expected = seen(past.follow(whole, longest, batch.owner, batch.matrix, batch.times))
        rng = np.random.default_rng(seed)
        cuts = np.unique(rng.integers(0, len(batch.owner), 30))
        pieces, found = blank(past, 5), []
        for chosen in np.split(np.arange(len(batch.owner)), cuts):
            present, owner = np.unique(batch.owner[chosen], return_inverse=True)
            values = pieces[present]
            times = None if batch.times is None else batch.times[chosen]
            found += seen(past.follow(values, longest[present], owner, batch.matrix[chosen], times))
            pieces[present] = values
        for one, other in zip(found, expected, strict=True):
            assert one.window.tobytes() == other.window.tobytes()
            assert (one.status, one.fresh) == (other.status, other.fresh)
        assert pieces.tobytes() == whole.tobytes()


def statuses(times: list[float], *, longest: float = 20.0, window: int = 3) -> list[int]:
    past = Past(1, window, np.arange(1))
    readings = np.arange(float(len(times)))[:, None]
    steps = past.follow(blank(past, 1), np.array([longest]), np.zeros(len(times), np.intp), readings, np.array(times))
    found: list[int] = steps.status.tolist()
    return found


def test_a_clock_that_lied_is_taken_back() -> None:
    usual = [float(second) for second in range(30)]
    found = statuses([*usual, 1e9, *(second + 30 for second in usual)])
    late, warming = [Status.LATE] * (BACK - 1), [Status.WARMING] * 2
    assert found == [*warming, *[Status.SCORED] * 28, Status.WARMING, *late, *warming, *[Status.SCORED] * 19]


@pytest.mark.parametrize(
    "late",
    [
        [5.0] * 30,  # one record sent again and again
        [float(-second) for second in range(30)],  # not in order among themselves
        [*range(5), 1000.0, *range(5, 10), 995.0, *range(10, 15)],  # in between, the clock is right
        [float(980 + second % 20) for second in range(60)],  # by less than a gap
        [float(second) for second in range(60)],  # by less than a day
    ],
    ids=range(5),
)
def test_late_records_that_tell_no_other_time_stay_late(late: list[float]) -> None:
    found = statuses([*(float(second) for second in range(980, 1001)), *late])
    assert [status for status, time in zip(found[21:], late, strict=True) if time < 995] == [Status.LATE] * sum(
        time < 995 for time in late
    )


def test_without_a_gap_no_clock_is_taken_back() -> None:
    assert statuses([1e9, *map(float, range(50))], longest=np.inf)[1:] == [Status.LATE] * 50


def test_each_clock_is_taken_back_by_the_gap_of_its_entity() -> None:
    past, days = Past(1, 2, np.arange(0)), 86_400.0
    times = np.repeat([10 * days, *range(BACK + 2)], 2).astype(np.float64)
    owner = np.tile([0, 1], len(times) // 2)
    values = blank(past, 2)
    steps = past.follow(values, np.array([100.0, 20 * days]), owner, np.zeros((len(times), 1)), times)
    assert steps.status[owner == 0].tolist()[-3:] == [Status.WARMING, Status.SCORED, Status.SCORED]
    assert steps.status[owner == 1].tolist() == [Status.WARMING, *[Status.LATE] * (BACK + 2)]
    again = past.follow(values, np.array([100.0, 20 * days]), np.array([0, 1]), np.zeros((2, 1)), np.full(2, 11 * days))
    assert again.fresh.tolist() == [True, False]
