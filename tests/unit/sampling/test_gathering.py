"""Whole entities, where a topic has very many: which ones, how far back, and in how much memory."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from aestream.codecs.base import Decoded
from aestream.codecs.json import JsonCodec
from aestream.features.roles import Marks, Roles
from aestream.sampling.gathering import MIN_ENTITIES, Gathering, places_of, typical
from aestream.sampling.sample import Sample
from aestream.sampling.topic import TopicSampler
from aestream.transport.memory import MemoryBroker, MemoryHistory, Message
from aestream.types import Batch, Key

NOON = 1_700_000_000_000  # milliseconds


def rounds(entities: int, records: int, *, first: int = 0) -> Iterator[int]:
    """Whose turn it is: all entities, one after the other, so many times."""
    return itertools.chain.from_iterable(itertools.repeat(range(first, first + entities), records))


def topic(turns: Iterator[int]) -> MemoryBroker:
    broker, rng = MemoryBroker({"in": 3}), random.Random(0)
    for i, entity in enumerate(turns):
        value = b'{"host": "h%d", "load": %f}' % (entity, rng.random())
        broker.append("in", Message(value, b"h%d" % entity, timestamp=NOON + i), entity % 3)
    return broker


def sampled(broker: MemoryBroker, records: int, roles: Roles | None, heard: list[tuple[int, int]]) -> Sample:
    history = MemoryHistory(broker, ["in"])
    made = TopicSampler(history, JsonCodec(10_000), records=records, period=None, roles=roles)
    return made.sample(progress=lambda read, wanted: heard.append((read, wanted)))


@pytest.mark.parametrize("roles", [Roles(), Roles(("host",))], ids=["by the message", "by a field"])
def test_of_many_entities_some_are_sampled_with_all_that_the_topic_holds_of_a_longer_past(roles: Roles) -> None:
    # 2,000 hosts, of which the newest 4,000 records hold two each; 40 of each would fit for 100 hosts
    heard: list[tuple[int, int]] = []
    found = sampled(topic(rounds(2000, 60)), 4000, roles, heard)
    assert 3000 < len(found.matrix) <= 4000
    counts = Counter(found.keys)
    assert 75 < len(counts) <= 100
    assert found.share == pytest.approx(len(counts) / 2000, rel=0.5)
    assert set(counts.values()) == {40}
    assert np.all(np.diff(found.timestamps) >= 0)
    assert found.timestamps[0] - NOON < 2000 * 21
    assert heard[-1] == (80_000, 80_000)
    again = sampled(topic(rounds(2000, 60)), 4000, roles, heard)
    assert again.keys == found.keys


@pytest.mark.parametrize(("entities", "records"), [(MIN_ENTITIES, 4000), (2000, 130_000), (2000, 200_000)])
def test_few_entities_or_a_short_past_are_sampled_whole(entities: int, records: int) -> None:
    heard: list[tuple[int, int]] = []
    found = sampled(topic(rounds(entities, 120_000 // entities)), records, Roles(), heard)
    count = min(records, 120_000)
    assert len(found.matrix) == count
    assert len(set(found.keys)) == entities
    assert found.timestamps[0] - NOON == pytest.approx(120_000 - count, abs=count / 100)
    assert (found.share, max(heard)) == (1.0, (count, records))


@pytest.mark.parametrize("records", [1, 3])
def test_the_newest_are_sampled_where_entities_come_and_go(records: int) -> None:
    heard: list[tuple[int, int]] = []
    sessions = itertools.chain.from_iterable(rounds(50, records, first=50 * i) for i in range(3000 // records))
    found = sampled(topic(sessions), 2000, Roles(), heard)
    assert max(wanted for _, wanted in heard) == 7 * 2000
    assert heard[-1] == (2000, 2000)
    assert (len(found.matrix), found.share) == (2000, 1.0)
    assert found.timestamps[0] - NOON == pytest.approx(150_000 - 2000, abs=50)


def test_a_past_that_is_a_little_longer_than_the_sample_is_used_to_its_beginning() -> None:
    heard: list[tuple[int, int]] = []
    found = sampled(topic(rounds(1000, 6)), 4000, Roles(), heard)
    assert set(Counter(found.keys).values()) == {6}
    assert found.timestamps[0] - NOON < 20


def gathered(keys: list[Key], most: int, size: int = 100) -> Gathering:
    rows = Gathering(1, most)
    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        matrix = np.arange(start, start + len(some), dtype=np.float64)[:, None]
        rows.add(Batch(), Decoded(matrix, np.arange(len(some)), (), (), np.arange(len(some))), Marks(some))
        assert len(rows.matrix) <= most
    return rows


def test_no_more_is_held_than_there_is_room_for_and_entities_stay_whole() -> None:
    keys: list[Key] = [f"h{entity}" for entity in rounds(500, 40)]
    rows = gathered(keys, 2000)
    counts = Counter(rows.keys)
    assert len(rows.keys) > 1000
    assert set(counts.values()) == {40}
    assert [keys[int(row)] for row in rows.matrix[:, 0]] == list(rows.keys)


def test_an_entity_with_very_many_records_does_not_drive_out_the_others() -> None:
    loud = min((f"loud-{i}" for i in range(1000)), key=lambda key: float(places_of([key])[0]))  # so that it stays
    keys: list[Key] = list(itertools.chain.from_iterable((f"h{i % 400}", loud, loud) for i in range(8000)))
    rows = gathered(keys, 2000)
    counts = Counter(rows.keys)
    assert len(counts) > 40
    assert 100 <= counts[loud] < 1200  # its share, and what came since there was room for more
    assert {counts[key] for key in counts if key != loud} == {20}
    ours = rows.matrix[[key == loud for key in rows.keys], 0]
    assert ours[-1] == len(keys) - 1
    assert set(np.diff(ours)) == {1.0, 2.0}


def test_places_are_the_same_everywhere_and_spread_evenly() -> None:
    found = places_of(["web-1", ("a", None), None, b"x", 7]).round(6).tolist()
    assert found == [0.105757, 0.773733, 0.048844, 0.940435, 0.798375]
    places = places_of([f"host-{i}" for i in range(10_000)])
    assert np.histogram(places, 10, (0, 1))[0] == pytest.approx(1000, abs=120)


def test_half_of_the_records_are_of_entities_with_fewer_than_is_typical() -> None:
    assert typical([]) == 0
    assert typical(["a"] * 10 + ["b"] * 3 + ["c"]) == 10
    assert typical(["loud"] * 90 + [f"h{i}" for i in range(100)]) == 1
