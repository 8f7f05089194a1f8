from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aestream.state.entities import Entities
from aestream.state.splits import in_words
from aestream.state.store import Store
from aestream.types import Key, Partition, Span, Split
from tests.unit.state.test_store import BLANK, ONE, TWO, TYPE, feed, store

THREE, ELSEWHERE = Partition("hosts", 2), Partition("disks", 0)


def see(kept: Store, keys: Sequence[str | None], part: Partition) -> int:
    feed(kept, keys, [1.0] * len(keys), [Span(part, 0, len(keys))])
    return kept.splits.take()


def test_an_entity_counts_once_when_it_is_new_in_a_second_partition() -> None:
    kept = store()
    assert see(kept, ["a", "b", "a"], ONE) == 0
    assert kept.splits.example is None
    assert see(kept, ["c", "b", "b"], TWO) == 1
    assert see(kept, ["c", "b"], TWO) == 0
    assert see(kept, ["a", "b", "c"], THREE) == 2  # b is in its third
    assert kept.splits.example == Split("b", (ONE, TWO))


def test_two_partitions_of_one_batch_count_as_well() -> None:
    kept = store()
    feed(kept, ["a", "b", "b"], [1.0] * 3, [Span(ONE, 0, 2), Span(TWO, 2, 3)])
    assert kept.splits.take() == 1
    assert see(kept, [None], ONE) + see(kept, [None], TWO) == 1


def test_another_topic_has_entities_of_its_own_and_a_file_has_no_partitions() -> None:
    kept = store()
    assert see(kept, ["a"], ONE) + see(kept, ["a"], ELSEWHERE) == 0
    feed(kept, ["a", "b"], [1.0, 1.0])
    assert kept.splits.take() == 0


def test_one_whose_partition_was_taken_away_is_in_one_partition_again() -> None:
    kept = store()
    see(kept, ["a"], ONE)
    kept.drop([ONE])
    assert see(kept, ["a"], TWO) == 0


def test_what_is_new_and_what_is_known() -> None:
    some = Entities(TYPE, BLANK)
    some.places(["a", "b"])
    some.drop(["a"])
    some.places(["c", "a", "b", "c"])
    assert some.newest(2) == ["c", "a"]
    assert some.among(["a", "x"]) == {"a"}
    assert np.array_equal(some.values["count"], [0, 0, 0])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("web-1", "'web-1'"),
        (("db", None), "('db', None)"),
        (None, "records without a key"),
        ((None, None), "records without a key"),
        ("k" * 1_000_000, f"'{'k' * 99}..."),
    ],
)
def test_a_key_takes_little_room_in_a_line(key: Key, words: str) -> None:
    assert in_words(key) == words
