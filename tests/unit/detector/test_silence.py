"""Which entities with an open episode have been silent for too long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aestream import Detector
from aestream.detector.silence import UNKNOWN, Silence
from aestream.detector.stream import Stream
from aestream.state.entities import Entities
from aestream.types import Partition, Span
from tests.unit.detector.test_stream import HOSTS, STEP, Fleet, fleet
from tests.unit.detector.test_watching import judge

ONE = Partition("hosts", 0)
LONGEST = 10 * STEP  # ten usual intervals
LATER = 900


@pytest.fixture(scope="module")
def detector() -> Detector:
    some = fleet(LATER)
    return Detector(false_alarm_rate=0.01, steps=300).fit(some.matrix, keys=some.keys, times=some.times)


def incident(hosts: int = 1) -> Fleet:
    """Thirty records of each host after the training; the last three of the first hosts are far off."""
    some = fleet(LATER + 30).at(slice(LATER * len(HOSTS), None))
    matrix = some.matrix.copy()
    for host in range(hosts):
        matrix[host - 3 * len(HOSTS) :: len(HOSTS), 0] += 20
    return replace(some, matrix=matrix)


def begun(detector: Detector, ttl: float = 1e9, hosts: int = 1) -> Stream:
    stream, some = detector.watch(ttl), incident(hosts)
    assert judge(stream, some, [Span(ONE, 0, len(some.keys))]).anomaly[-3 * len(HOSTS) :].sum() == 3 * hosts
    return stream


def test_one_is_found_once_its_longest_interval_is_over(detector: Detector) -> None:
    stream = begun(detector)
    assert stream.silent({}) == []
    assert stream.silent({ONE: LONGEST - 5}) == []
    (found,) = stream.silent({ONE: LONGEST + 5})
    assert (found.partition, found.key) == (ONE, HOSTS[0])
    assert found.share.argmax() == 0
    assert found.share.sum() == pytest.approx(1)
    assert found.worst > 1
    assert found.since == incident().times[-3 * len(HOSTS)]
    assert found.last == incident().times[-len(HOSTS)]
    (again,) = stream.silent({ONE: LONGEST + 6})
    assert again.seen == found.seen
    assert stream.tidy(2**30).episodes == 1


def test_records_of_others_move_the_clock_and_its_own_begin_anew(detector: Detector) -> None:
    stream = begun(detector)
    more = fleet(LATER + 60).at(slice((LATER + 30) * len(HOSTS), None))
    others = [row for row, key in enumerate(more.keys) if key != HOSTS[0]]
    judge(stream, Fleet(more.matrix[others], [more.keys[row] for row in others], more.times[others]), whole(others))
    (found,) = stream.silent({})
    own = more.at(slice(29 * len(HOSTS), 29 * len(HOSTS) + 1))
    judge(stream, own, whole(own.keys))
    assert stream.silent({}) == []
    assert stream.silent({ONE: LONGEST + 5}) == []  # that record, after a gap, has ended the episode
    assert found.key == HOSTS[0]


def whole(rows: list[int] | list[str]) -> list[Span]:
    return [Span(ONE, 0, len(rows))]


def test_the_time_to_live_ends_it_at_the_latest_and_an_hour_where_no_interval_is_known(detector: Detector) -> None:
    stream = begun(detector, ttl=70.0)
    assert stream.silent({ONE: 65.0}) == []
    assert len(stream.silent({ONE: 75.0})) == 1
    stream = begun(detector, hosts=2)
    series, store = stream._fitted.series, stream._store
    assert series is not None
    assert store is not None
    unknown = Silence(replace(series, longest=np.full_like(series.longest, np.inf)), store)
    assert unknown.look({ONE: UNKNOWN - 5}) == []
    assert {found.key for found in unknown.look({ONE: UNKNOWN + 5})} == set(HOSTS[:2])


def test_a_partition_that_went_is_not_looked_at(detector: Detector) -> None:
    stream = begun(detector)
    stream.forget([ONE])
    assert stream.silent({ONE: 1e6}) == []


def test_one_that_came_back_with_its_entities_at_other_places_mixes_up_nobody(detector: Detector) -> None:
    stream = begun(detector, hosts=2)
    idle, values = {ONE: LONGEST + 5}, stream.store.of(ONE).values
    values["seen"] = values["seen"].max()  # all at the same moment, as when a rack fails
    worst = {found.key: found.worst for found in stream.silent(idle)}
    assert len(worst) == 2
    state = stream.store.give(ONE)
    moved = Entities(state.entities.layout, state.entities.blank)
    first, second, *others = state.entities
    places = moved.places(keys := [second, first, *others])
    moved.values[places] = state.values[state.entities.find(keys)]
    stream.store.accept(ONE, replace(state, entities=moved))
    assert {found.key: found.worst for found in stream.silent(idle)} == worst


def test_a_detector_of_single_records_knows_no_silence() -> None:
    some = fleet(300)
    assert Detector(steps=20, window=1).fit(some.matrix).watch(1e9).silent({ONE: 1e9}) == []
