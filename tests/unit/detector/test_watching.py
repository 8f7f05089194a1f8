"""A stream of topics: entities that come and go with partitions and with time, and a model that is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from aestream import Detector
from aestream.detector.detection import Detection, Wanted
from aestream.detector.stream import Stream
from aestream.types import Eviction, Origin, Partition, Span, Status
from tests.unit.detector.test_stream import HOSTS, STEP, Fleet, fleet


@pytest.fixture(scope="module")
def history() -> Fleet:
    return fleet(900, counter=True).at(slice(1800))


@pytest.fixture(scope="module")
def later() -> Fleet:
    return fleet(900, counter=True).at(slice(1800, None))


@pytest.fixture(scope="module")
def detector(history: Fleet) -> Detector:
    return Detector(false_alarm_rate=0.01, steps=300).fit(history.matrix, keys=history.keys, times=history.times)


def test_levels_count_the_entities_that_there_are(detector: Detector, later: Fleet) -> None:
    stream = detector.watch(1e9)
    assert sum(stream.levels.values()) == 0
    one, two = Partition("hosts", 0), Partition("hosts", 1)
    rows = len(later.keys)
    spans = [Span(one, 0, rows // 2), Span(two, rows // 2, rows)]
    judge(stream, later, spans)
    assert sum(stream.levels.values()) == 2 * len(HOSTS)
    stream.forget([two])
    assert sum(stream.levels.values()) == len(HOSTS)


def judge(stream: Stream, some: Fleet, spans: Sequence[Span] = ()) -> Detection:
    spans = spans or [Span(Partition("hosts", 0), 0, len(some.keys))]
    origin = Origin(spans, np.arange(len(some.keys)), some.times)
    return stream.judge(some.matrix, some.keys, some.times, Wanted(explain=True), origin)


def test_partitions_are_judged_apart_and_a_forgotten_one_begins_anew(detector: Detector, later: Fleet) -> None:
    rows, half = len(later.keys), len(later.keys) // 2
    one, two = Partition("hosts", 0), Partition("hosts", 1)
    twice = Fleet(np.tile(later.matrix, (2, 1)), later.keys * 2, np.tile(later.times, 2))
    together = judge(detector.watch(1e9), twice, [Span(one, 0, rows), Span(two, rows, 2 * rows)])
    stream = detector.watch(1e9)
    first, second = (judge(stream, later.at(part), [Span(one, 0, half)]) for part in (slice(half), slice(half, None)))
    whole = np.concatenate([first.score, second.score])
    np.testing.assert_allclose(together.score[:rows], whole, rtol=1e-5)
    np.testing.assert_allclose(together.score[rows:], whole, rtol=1e-5)

    stream.forget([one])
    again = judge(stream, later.at(slice(half)), [Span(one, 0, half)])
    np.testing.assert_allclose(again.score, first.score, rtol=1e-5)
    assert (again.status[: len(HOSTS)] == Status.WARMING).all()


def test_an_entity_is_forgotten_after_its_time_to_live(detector: Detector, later: Fleet) -> None:
    stream = detector.watch(STEP * 200)
    judge(stream, later.at(slice(30 * len(HOSTS))))
    keys = [("b" if key == "a" else key) for key in later.keys]
    judge(stream, replace(later, keys=keys))
    found = stream.tidy(10**9)
    assert found.evicted == {Eviction.TIME_TO_LIVE: 1, Eviction.BYTES: 0}
    assert sum(found.levels.values()) == len(HOSTS) - 1
    smaller = stream.tidy(1000)
    assert smaller.evicted == {Eviction.TIME_TO_LIVE: 0, Eviction.BYTES: 1}
    assert smaller.bytes == found.bytes / 2 <= 1000


def test_another_model_goes_on_with_the_rows_and_the_places_of_the_thresholds(history: Fleet, later: Fleet) -> None:
    former = Detector(false_alarm_rate=0.01, steps=300).fit(history.matrix, keys=history.keys, times=history.times)
    next_one = Detector(false_alarm_rate=0.01, steps=300, seed=1).fit(
        history.matrix, keys=history.keys, times=history.times
    )
    matrix, half = later.matrix.copy(), len(later.keys) // 2
    rows = np.flatnonzero(np.array(later.keys) == "b")
    matrix[rows[100:], 0] += 1.0  # for good
    moved = Fleet(matrix, later.keys, later.times)

    old, fresh, new = former.watch(1e9), next_one.watch(1e9), next_one.watch(1e9)
    judge(old, moved.at(slice(half)))
    levels = old.levels
    assert new.adopt(old)
    assert new.levels == levels
    after, begun = judge(new, moved.at(slice(half, None))), judge(fresh, moved.at(slice(half, None)))
    assert (after.status == Status.SCORED).all()
    assert (begun.status[: len(HOSTS)] == Status.WARMING).all()
    assert after.anomaly.sum() < begun.anomaly.sum() / 2


def test_a_model_of_other_features_begins_anew(detector: Detector, history: Fleet, later: Fleet) -> None:
    other = Detector(steps=20).fit(history.matrix[:, :3], keys=history.keys, times=history.times)
    stream, old = other.watch(1e9), detector.watch(1e9)
    judge(old, later)
    assert not stream.adopt(old)
    assert sum(stream.levels.values()) == 0
    alone = Detector(steps=20, window=1).fit(history.matrix)
    assert not alone.watch(1e9).adopt(old)


def test_a_model_that_reads_the_same_names_in_another_way_begins_anew(history: Fleet, later: Fleet) -> None:
    gaps, swapped = history.matrix.copy(), history.matrix[:, [3, 1, 2, 0]]
    gaps[5::7, 0] = np.nan
    plain, imputing, counting = (
        Detector(steps=20, window=10, missing=missing).fit(matrix, keys=history.keys, times=history.times)
        for matrix, missing in ((history.matrix, "dead_letter"), (gaps, "impute"), (swapped, "dead_letter"))
    )
    assert plain.schema.names == imputing.schema.names == counting.schema.names
    for former in (imputing, counting):
        old = former.watch(1e9)
        judge(old, later.at(slice(60)))
        assert not plain.watch(1e9).adopt(old)


@pytest.mark.parametrize(("former", "rate"), [(0.001, 0.01), (0.01, 0.001)])
def test_a_model_of_another_rate_does_not_keep_the_distance_of_the_former(
    history: Fleet, later: Fleet, former: float, rate: float
) -> None:
    some = later.at(slice(300))
    old, new, fresh = (
        Detector(false_alarm_rate=asked, steps=100, window=10)
        .fit(history.matrix, keys=history.keys, times=history.times)
        .watch(1e9)
        for asked in (former, rate, rate)
    )
    judge(old, some)
    assert new.adopt(old)
    after, begun = judge(new, later.at(slice(300, 400))), judge(fresh, some)
    np.testing.assert_allclose(np.median(after.threshold), np.median(begun.threshold), rtol=0.1)
