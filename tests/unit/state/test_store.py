from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aestream.state.entities import Entities
from aestream.state.partition import LAYOUT
from aestream.state.store import Part, Store
from aestream.types import Partition, Span

TYPE = np.dtype([("count", "<i8"), *LAYOUT])
BLANK = np.array((0, np.nan, 0, 0), TYPE)
ONE, TWO = Partition("hosts", 0), Partition("hosts", 1)
WEEK = 7 * 86_400.0
NOW = 1.7e9


def store(time_to_live: float = WEEK) -> Store:
    return Store(Entities(TYPE, BLANK), time_to_live)


def feed(kept: Store, keys: Sequence[Any], stamps: Sequence[float], spans: Sequence[Span] = ()) -> list[int]:
    """See records, and return how many of its entity each one finds before it."""
    spans = spans or [Span(None, 0, len(keys))]  # type: ignore[arg-type]
    taken = kept.take(keys, spans, kept.passed(spans, np.array(stamps, float)))
    assert [keys[row] for row in taken.first.tolist()] == [
        keys[row] for row in np.unique(taken.owner, return_index=True)[1]
    ]
    before = []
    for own in taken.owner.tolist():
        before.append(int(taken.values["count"][own]))
        taken.values["count"][own] += 1
    kept.put(taken)
    return before


def test_entities_of_different_partitions_are_apart() -> None:
    kept = store()
    spans = [Span(ONE, 0, 3), Span(TWO, 3, 5)]
    assert feed(kept, ["a", "b", "a", "a", "c"], [1, 1, 1, 1, 1], spans) == [0, 0, 1, 0, 0]
    assert feed(kept, ["a", "a", "b", "b", "c"], [2, 2, 2, 2, 2], spans) == [2, 3, 1, 0, 1]
    assert len(kept) == 5
    assert kept.size == 5 * TYPE.itemsize

    kept.drop([ONE])
    assert feed(kept, ["a", "a"], [3, 3], [Span(ONE, 0, 1), Span(TWO, 1, 2)]) == [0, 1]


def test_no_rows_change_nothing() -> None:
    kept = store()
    assert feed(kept, [], []) == []
    assert feed(kept, [], [], [Span(ONE, 0, 0)]) == []
    assert len(kept) == 0


class Clock:
    """The clock of a partition, one record after another."""

    def __init__(self, ttl: float) -> None:
        self.ttl, self.elapsed, self.latest, self.against = ttl, 0.0, 0.0, 0

    def see(self, stamp: float) -> None:
        if not stamp:
            return
        self.latest = self.latest or stamp
        ahead, step = stamp - self.latest, max(self.ttl / 100, 60)
        if -self.ttl <= ahead <= step:
            self.elapsed += max(ahead, 0.0)
            self.latest, self.against = max(self.latest, stamp), 0
            return
        self.against += 1
        if self.against == 100:
            self.elapsed, self.latest, self.against = self.elapsed + step, stamp, 0


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_any_size_with_and_without_tidying_find_what_one_record_after_another_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, ttl = 400, 500.0
    keys = [str(key) for key in rng.integers(0, 6, count)]
    stamps = NOW + np.cumsum(rng.exponential(rng.choice([0.02, 10.0]), count) * (rng.random(count) < 0.5))
    stamps[rng.random(count) < 0.02] += rng.choice([-300.0, 10_000.0])  # late ones, and clocks that lie
    stamps[rng.random(count) < 0.02] = 0  # unknown
    keys[150:260] = ["0"] * 110
    if seed % 2:
        stamps[120:] += rng.choice([-5_000.0, 5_000.0])  # an outage, or a clock that was wrong before

    expected, seen, number, clock = [], dict[str, float](), dict[str, int](), Clock(ttl)
    for key, stamp in zip(keys, stamps.tolist(), strict=True):
        clock.see(stamp)
        if clock.elapsed - seen.get(key, np.inf) > ttl:
            number[key] = 0
        expected.append(number.get(key, 0))
        seen[key], number[key] = clock.elapsed, number.get(key, 0) + 1

    kept, found, start = store(ttl), list[int](), 0
    while start < count:
        stop = min(count, start + int(rng.integers(1, rng.choice([3, 150]))))
        found += feed(kept, keys[start:stop], stamps[start:stop].tolist(), [Span(ONE, 0, stop - start)])
        if rng.random() < 0.3:
            kept.forget_old()
        start = stop
    assert found == expected


def test_an_entity_is_forgotten_after_its_time_to_live_also_within_a_batch() -> None:
    hour = 3600.0
    stamps = [NOW + 71.0 * step for step in range(121)]
    keys = ["other"] * 121
    keys[0] = keys[90] = keys[120] = "a"
    found = feed(store(2 * hour), keys, stamps)
    assert (found[90], found[120]) == (1, 2)
    keys[90] = "other"
    assert feed(store(2 * hour), keys, stamps)[120] == 0


@pytest.mark.parametrize("lie", [0.0, 9.5e8, 4e9], ids=["none", "2000", "2096"])
@pytest.mark.parametrize("at", [0, 50])
def test_a_record_from_another_time_does_not_make_the_others_look_forgotten(lie: float, at: int) -> None:
    kept = store(WEEK)
    stamps = [NOW + number / 10 for number in range(6000)]
    stamps[at] = lie
    found = feed(kept, [f"host-{number % 300}" for number in range(6000)], stamps)
    assert found[-300:] == [19] * 300
    assert feed(kept, ["quiet"], [NOW + 600]) == [0]
    later = [NOW + 600 + 1000.0 * number for number in range(700)]
    feed(kept, ["host-0"] * 700, later)
    assert feed(kept, ["quiet", "host-0"], [later[-1]] * 2) == [0, 720]


def test_an_outage_of_all_is_not_the_silence_of_each() -> None:
    kept = store(WEEK)
    feed(kept, [f"host-{number}" for number in range(300)], [NOW + number for number in range(300)])
    again = [NOW + 2 * WEEK + number for number in range(300)]
    assert feed(kept, [f"host-{number}" for number in range(300)], again) == [1] * 300


def test_what_is_old_is_freed_and_what_was_seen_longest_ago_is_evicted() -> None:
    kept = store(100.0)
    names = [f"host-{number}" for number in range(1000)]
    feed(kept, names, [NOW + number / 100 for number in range(1000)], [Span(ONE, 0, 1000)])
    assert kept.forget_old() == 0
    assert kept.evict(1000 * TYPE.itemsize) == 0
    assert kept.evict(999 * TYPE.itemsize) == 1000 - 899
    assert kept.size <= 900 * TYPE.itemsize
    assert "host-100" not in kept.of(ONE).entities
    assert "host-101" in kept.of(ONE).entities
    feed(kept, ["host-999"] * 101, [NOW + 10.0 + number for number in range(101)], [Span(ONE, 0, 101)])
    assert kept.forget_old() == 898
    assert len(kept) == 1


def test_of_entities_seen_at_the_same_time_no_more_are_evicted_than_must_be() -> None:
    kept = store()
    for part in (ONE, TWO):
        feed(kept, [f"host-{number}" for number in range(100)], [0.0] * 100, [Span(part, 0, 100)])
    assert kept.evict(199 * TYPE.itemsize) == 200 - 179
    assert len(kept) == 179


def test_it_goes_on_from_entities_of_no_partition() -> None:
    start = Entities(TYPE, BLANK)
    places = start.places(["a"])
    start.values[places] = np.array((5, np.nan, 0, 0), TYPE)
    kept = Store(start)
    taken = kept.take(["a", "b"])
    assert taken.values["count"].tolist() == [5, 0]
    part: Part = None
    assert len(kept.of(part).entities) == 2


def test_the_clocks_of_partitions_are_not_compared() -> None:
    kept = store()
    for number in range(50):  # the first partition has been read for long
        feed(kept, [f"old-{number}"], [NOW + 3600 * number], [Span(ONE, 0, 1)])
    feed(kept, [f"new-{number}" for number in range(50)], [NOW] * 50, [Span(TWO, 0, 50)])
    kept.evict(60 * TYPE.itemsize)
    assert len(kept.of(TWO).entities) == 50  # all were seen just now
    assert len(kept) == 54
