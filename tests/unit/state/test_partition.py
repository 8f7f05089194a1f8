"""What is remembered of one partition: its clock, who is forgotten, and what a log of it may say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aestream.state.entities import Entities
from aestream.state.partition import AGREEING, LAYOUT, LEAST_STEP, Clock, PartitionState

TYPE = np.dtype([("count", "<i8"), *LAYOUT])
BLANK = np.array((0, np.nan, 0, 0), TYPE)
NOW = 1.7e9
HOUR = 3600.0


def state(offsets: dict[str, int]) -> PartitionState:
    """Entities by the offset after their last record, none of which has an entry."""
    made = PartitionState(Entities(TYPE, BLANK))
    places = made.places(list(offsets))
    made.values["offset"][places] = list(offsets.values())
    return made


def log(made: PartitionState, keys: Sequence[str]) -> None:
    """The entries of these are written."""
    places = made.entities.find(keys)
    made.values["logged"][places] = made.values["offset"][places]


def forget(made: PartitionState, keys: Sequence[str]) -> int:
    which = np.zeros(len(made.values), bool)
    which[made.entities.find(keys)] = True
    return made.forget(which)


def test_time_passes_with_the_records() -> None:
    clock = Clock()
    assert clock.advanced(np.array([NOW, NOW + 5, NOW + 3, NOW + 9]), HOUR).tolist() == [0, 5, 5, 9]
    assert clock.advanced(np.zeros(2), HOUR).tolist() == [9, 9]  # no time
    assert clock.advanced(np.zeros(0), HOUR).tolist() == []
    assert clock == Clock(9.0, NOW + 9, 0)


@pytest.mark.parametrize("away", [30 * 86_400.0, -30 * 86_400.0])
def test_a_clock_that_jumps_is_followed_by_one_step_once_enough_records_agree(away: float) -> None:
    clock = Clock()
    clock.advanced(np.array([NOW]), HOUR)
    lone = clock.advanced(np.array([NOW + away, NOW + 1]), HOUR)
    assert lone.tolist() == [0, 1]
    passed = clock.advanced(np.full(AGREEING, NOW + away), HOUR)
    assert passed[-2:].tolist() == [1, 1 + LEAST_STEP]
    assert clock.advanced(np.array([NOW + away + 2]), HOUR).tolist() == [3 + LEAST_STEP]


@pytest.mark.parametrize("size", [1, 7, 400])
def test_time_to_the_last_bit_does_not_depend_on_batches(size: int) -> None:
    rng, live, step = np.random.default_rng(0), 12_345.678, 123.0
    stamps = NOW + np.cumsum(rng.integers(0, 60_001, 400)) / 1000
    stamps[150:] += 86_400  # all of them: after a hundred, the clock takes a step
    clock, found = Clock(), []
    for at in range(0, len(stamps), size):
        found += clock.advanced(stamps[at : at + size], live).tolist()
    exact = np.diff(stamps)[:149].clip(0).sum() + step + np.diff(stamps)[249:].clip(0).sum()
    assert found[-1] == exact


def test_what_an_entity_knows_is_known_again() -> None:
    made = state({"a": 10, "b": 20})
    keys, offsets = ["a", "a", "b", "c", "b"], np.array([9, 10, 19, 5, 20])
    assert made.known(keys, offsets).tolist() == [True, False, True, False, False]


def test_changed_entities_are_those_with_a_newer_offset_than_their_entry() -> None:
    made = state({"a": 10, "b": 20})
    log(made, ["a"])
    assert made.changed() == ["b"]
    assert made.logged(0) == (1, 10)
    made.rewrite()
    assert made.changed() == ["a", "b"]
    assert made.logged(0) == (0, 0)


def test_who_is_forgotten_leaves_an_entry_to_delete_and_the_others_count() -> None:
    made = state({"a": 10, "b": 20, "c": 30})
    log(made, ["a", "c"])
    assert forget(made, ["a", "b"]) == 2
    assert made.gone == {"a": 10}  # b has no entry
    assert (made.horizon, made.logged(20)) == (20, (1, 30))
    assert made.logged(5) == (2, 40)  # as of before that, a was not forgotten, and its entry is still needed
    assert (made.useless(5), made.useless(20)) == ([], ["a"])
    assert forget(made, []) == 0


def test_who_comes_back_is_not_gone_and_its_entry_does_not_count_until_it_is_written() -> None:
    made = state({"a": 10, "b": 20})
    log(made, ["a", "b"])
    forget(made, ["a"])
    place = made.places(["a"])
    assert made.gone == {}
    assert made.values["logged"][place] == 10
    assert made.logged(made.horizon) == (1, 20)
    made.values["offset"][place] = 31
    log(made, ["a"])
    assert made.logged(made.horizon) == (2, 51)
