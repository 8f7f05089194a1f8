"""The records to infer the features from: from all times, all records of some keys, bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from aestream.inference.documents import Documents
from aestream.inference.spread import Spread


def chosen(
    keys: Sequence[bytes | None],
    *,
    records: int,
    max_bytes: int = 10**9,
    bad: Iterable[int] = (),
    batch: int = 100,
    each: int = 1,
) -> Documents:
    """Numbered records with these keys, through a Spread; `each` message holds so many."""
    spread, odd = Spread(records=records, max_bytes=max_bytes), set(bad)
    for start in range(0, len(keys), batch):
        some = keys[start : start + batch]
        rows = spread.choose(some)
        found: list[list[dict[str, Any]]] = [
            [] if start + row in odd else [{"i": start + row}] * each for row in rows.tolist()
        ]
        spread.add(rows, some, range(start, start + len(some)), [b"x" * 10] * len(some), found)
    return spread.documents()


def numbers(found: Documents) -> list[int]:
    assert found.timestamps.tolist() == [record["i"] for record in found.records]
    return [record["i"] for record in found.records]


def test_few_records_are_all_chosen() -> None:
    keys = [b"a", None, b"", b"b\xff"] * 25
    found = chosen(keys, records=100, bad=[3, 4])
    assert numbers(found) == [i for i in range(100) if i not in {3, 4}]
    assert list(found.keys[:3]) == ["a", None, ""]
    assert found.keys[5] == "b\ufffd"


@pytest.mark.parametrize("hosts", [0, 1, 2, 5, 7, 16, 64])
def test_a_few_entities_in_turn_are_all_there_at_all_times(hosts: int) -> None:
    # Every second record, of two hosts that send in turn, would be one of them.
    keys = [b"h%d" % (i % hosts) if hosts else None for i in range(50_000)]
    found = numbers(chosen(keys, records=1000))
    assert 400 <= len(found) <= 1000
    assert np.max(np.diff([0, *found, 50_000])) < 500
    counts = np.bincount([i % max(hosts, 1) for i in found], minlength=max(hosts, 1))
    assert counts.min() > 0.2 * counts.max() > 0


@pytest.mark.parametrize("each", [2, 20])
def test_of_many_entities_some_have_all_of_their_records(each: int) -> None:
    entities = 20_000 // each
    keys = [b"card-%d" % (i % entities) for i in range(20_000)]
    found = numbers(chosen(keys, records=1000))
    counts = np.bincount([i % entities for i in found])
    assert np.count_nonzero(counts == each) * each > 200
    assert np.count_nonzero(counts == each) >= 20
    assert np.max(np.diff([0, *found, 20_000])) < 400


def test_one_entity_with_most_records_does_not_push_the_others_out() -> None:
    keys = [b"busy" if i % 10 else b"k%d" % (i % 1000) for i in range(30_000)]
    found = numbers(chosen(keys, records=1000))
    assert np.mean([i % 10 == 0 for i in found]) > 0.05
    assert np.max(np.diff([0, *found, 30_000])) < 600


def test_the_bytes_are_bounded_even_for_a_single_record() -> None:
    assert len(chosen([None] * 1000, records=1000, max_bytes=500)) <= 50
    assert not len(chosen([None], records=10, max_bytes=5))
    assert not len(chosen([b"k"], records=10, max_bytes=5))


def test_messages_that_hold_several_records_are_kept_or_dropped_whole() -> None:
    found = numbers(chosen([b"k"] * 100, records=1000, each=3, bad=[5]))
    assert found == [i for i in range(100) if i != 5 for _ in range(3)]
    fewer = numbers(chosen([None] * 1000, records=1000, each=10))
    assert 500 <= len(fewer) <= 1000
    assert {fewer.count(i) for i in fewer} == {10}
    assert len(chosen([None] * 30, records=1000, max_bytes=100, each=3)) <= 30


def test_one_message_with_very_many_records_is_thinned() -> None:
    found = chosen([None] * 10, records=1000, each=5000)
    assert len(found) == 10 * 50


def test_the_choice_is_the_same_each_time_and_for_any_batches() -> None:
    keys = [b"k%d" % (i % 3000) for i in range(9000)]
    assert numbers(chosen(keys, records=500)) == numbers(chosen(keys, records=500))
    assert len(chosen(keys, records=500, batch=9000)) > 200
