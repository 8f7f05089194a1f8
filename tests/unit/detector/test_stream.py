"""A detector that remembers: pieces, snapshots, entities, gaps, late records, counters, and what is never flagged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from aestream import Detector
from aestream.detector.detection import Detection
from aestream.errors import DataError
from aestream.types import Level, Matrix, Phase, Status, Vector

STEP = 10.0  # seconds between an entity's records
START = 1.7e9
HOSTS = ("a", "b", "c")


@dataclass(frozen=True)
class Fleet:
    """Records of several hosts that take turns: (n, 4) of two waves, their sum, and a counter of requests."""

    matrix: Matrix
    keys: list[str]
    times: Vector

    def at(self, chosen: slice) -> Fleet:
        return Fleet(self.matrix[chosen], self.keys[chosen], self.times[chosen])


def fleet(records: int, *, seed: int = 0, counter: bool = False, hosts: tuple[str, ...] = HOSTS) -> Fleet:
    random = np.random.default_rng(seed)
    steps = np.arange(records)
    columns = []
    for number in range(len(hosts)):
        slow, fast = np.sin(steps / 20 + number), np.sin(steps / 7)
        noise = 0.05 * random.standard_normal((records, 3))
        level = np.stack([slow, fast, slow + fast], axis=1) + noise + 3 * number
        requests = np.cumsum(random.poisson(100 * (number + 1), records)).astype(float)
        columns.append(np.column_stack([level, requests]) if counter else level)
    matrix = np.stack(columns, axis=1).reshape(-1, columns[0].shape[1])
    times = START + STEP * np.repeat(steps, len(hosts)) + np.tile(np.arange(float(len(hosts))), records)
    return Fleet(matrix, list(hosts) * records, np.asarray(times, np.float64))


@pytest.fixture(scope="module")
def whole() -> Fleet:
    return fleet(900, counter=True)


@pytest.fixture(scope="module")
def history(whole: Fleet) -> Fleet:
    return whole.at(slice(1800))


@pytest.fixture(scope="module")
def later(whole: Fleet) -> Fleet:
    return whole.at(slice(1800, None))


@pytest.fixture(scope="module")
def detector(history: Fleet) -> Detector:
    return Detector(false_alarm_rate=0.01, steps=300).fit(history.matrix, keys=history.keys, times=history.times)


def judged(detector: Detector, some: Fleet) -> Detection:
    return detector.detect(some.matrix, keys=some.keys, times=some.times)


def test_the_window_and_the_counter_are_found(detector: Detector) -> None:
    assert detector.remembers
    assert detector.window == 10
    assert detector.schema.counters.tolist() == [3]


def test_what_follows_the_training_is_judged_from_its_first_record(detector: Detector, later: Fleet) -> None:
    found = judged(detector, later)
    assert (found.status == Status.SCORED).all()
    assert found.anomaly.mean() < 0.03


def test_called_twice_it_says_the_same(detector: Detector, later: Fleet) -> None:
    first, second = judged(detector, later), judged(detector, later)
    np.testing.assert_array_equal(first.score, second.score)


@pytest.mark.parametrize("pieces", [2, 7, 100])
def test_pieces_say_what_the_whole_says(detector: Detector, later: Fleet, pieces: int) -> None:
    whole, stream = judged(detector, later), detector.stream()
    parts = []
    for rows in np.array_split(np.arange(len(later.keys)), pieces):
        part = later.at(slice(rows[0], rows[-1] + 1))
        parts.append(stream.detect(part.matrix, keys=part.keys, times=part.times))
        snapshot = stream.snapshot()
        stream = detector.stream()
        stream.restore(snapshot)
    np.testing.assert_allclose(np.concatenate([part.score for part in parts]), whole.score, rtol=1e-5)
    for column in ("anomaly", "status", "level", "phase"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, column) for part in parts]), getattr(whole, column))


def test_equal_pieces_give_equal_bits(detector: Detector, later: Fleet) -> None:
    one, other = detector.stream(), detector.stream()
    for rows in np.array_split(np.arange(len(later.keys)), 9):
        part = later.at(slice(rows[0], rows[-1] + 1))
        first = one.detect(part.matrix, keys=part.keys, times=part.times)
        second = other.detect(part.matrix, keys=part.keys, times=part.times)
        np.testing.assert_array_equal(first.score, second.score)
    assert one.snapshot() == other.snapshot()


def test_a_saved_detector_goes_on_where_the_training_ended(detector: Detector, later: Fleet, tmp_path: Path) -> None:
    detector.save(tmp_path / "m")
    again = judged(Detector.load(tmp_path / "m"), later)
    np.testing.assert_array_equal(again.score, judged(detector, later).score)


def test_the_training_records_themselves_are_a_series_of_their_own(detector: Detector, history: Fleet) -> None:
    found = judged(detector, history)
    assert not (found.status == Status.LATE).any()
    assert np.count_nonzero(found.status == Status.WARMING) == 9 * len(HOSTS)
    assert found.anomaly.mean() < 0.03


def test_an_entity_that_training_has_not_seen_warms_up(detector: Detector) -> None:
    new = fleet(40, seed=5, counter=True, hosts=("new",))
    found = judged(detector, new)
    assert found.status.tolist() == [Status.WARMING] * 9 + [Status.SCORED] * 31
    assert not found.anomaly[:9].any()
    assert (found.score[:9] >= 0).all()


def test_after_a_gap_the_window_starts_anew(detector: Detector, later: Fleet) -> None:
    times = later.times.copy()
    times[300:] += 100 * STEP
    found = detector.detect(later.matrix, keys=later.keys, times=times)
    assert np.flatnonzero(found.status == Status.WARMING).tolist() == list(range(300, 300 + 9 * len(HOSTS)))


def test_late_records_have_a_score_and_change_nothing(detector: Detector, later: Fleet) -> None:
    without = judged(detector, later)
    place = 500
    matrix = np.insert(later.matrix, place, later.matrix[place] + 50.0, axis=0)
    times = np.insert(later.times, place, later.times[place] - 5 * STEP)
    keys = [*later.keys[:place], later.keys[place], *later.keys[place:]]
    found = detector.detect(matrix, keys=keys, times=times)
    assert found.status[place] == Status.LATE
    assert found.score[place] > 1
    assert not found.anomaly[place]
    np.testing.assert_allclose(np.delete(found.score, place), without.score, rtol=1e-5)


def test_a_reset_of_a_counter_is_no_alarm(detector: Detector, later: Fleet) -> None:
    matrix, hosts = later.matrix.copy(), np.array(later.keys)
    usual = judged(detector, later)
    for host in HOSTS:
        rows = np.flatnonzero(hosts == host)
        matrix[rows[100:], 3] -= matrix[rows[100], 3] - 20  # 20 requests since the restart
    found = detector.detect(matrix, keys=later.keys, times=later.times)
    near = np.arange(300, 330)
    assert np.count_nonzero(found.anomaly[near]) <= np.count_nonzero(usual.anomaly[near])


def test_a_rate_is_explained_in_units_per_second(detector: Detector, later: Fleet) -> None:
    matrix, rows = later.matrix.copy(), np.flatnonzero(np.array(later.keys) == "b")
    matrix[rows[150:], 3] += np.cumsum(np.full(len(rows) - 150, 5000.0))
    found = detector.detect(matrix, keys=later.keys, times=later.times, explain=True)
    place = rows[151]
    assert found.anomaly[place]
    assert found.explained is not None
    assert found.attribution is not None
    at = np.flatnonzero(found.explained == place)[0]
    assert found.attribution.share[at].argmax() == 3
    assert found.attribution.observed[at, 3] == pytest.approx(520, abs=10)  # 5,000 and some 200 more in ten seconds
    assert found.attribution.expected[at, 3] == pytest.approx(20, abs=5)


def test_a_level_that_moves_for_good_is_an_incident_once(detector: Detector) -> None:
    later = fleet(4000, seed=0, counter=True).at(slice(1800, None))
    matrix, rows = later.matrix.copy(), np.flatnonzero(np.array(later.keys) == "a")
    matrix[rows[500:], 0] += 1.0
    found = detector.detect(matrix, keys=later.keys, times=later.times)
    moved = rows[500:]
    assert found.anomaly[moved[:10]].any()
    assert found.anomaly[moved[1000:]].mean() < 0.05
    assert found.level[moved[1000:]].max() == Level.MOVED
    others = np.setdiff1d(np.arange(len(matrix)), rows)
    assert found.anomaly[others].mean() < 0.03


def test_a_stream_counts_the_entities_that_have_moved(detector: Detector) -> None:
    later = fleet(3000, seed=0, counter=True).at(slice(1800, None))
    rows = np.flatnonzero(np.array(later.keys) == "a")
    later.matrix[rows[200:], 0] += 1.0
    stream = detector.stream()
    assert stream.levels == {Level.USUAL: 3, Level.HELD: 0, Level.MOVED: 0}
    stream.detect(later.matrix, keys=later.keys, times=later.times)
    assert stream.levels[Level.MOVED] == 1
    assert sum(stream.levels.values()) == 3


def test_anomalies_close_in_time_are_one_episode(detector: Detector, later: Fleet) -> None:
    matrix, rows = later.matrix.copy(), np.flatnonzero(np.array(later.keys) == "c")
    matrix[rows[100:106], 1] += 3.0
    found = detector.detect(matrix, keys=later.keys, times=later.times)
    phases = found.phase[rows[100:145]].tolist()
    assert phases[0] == Phase.OPENED
    assert phases.count(Phase.OPENED) == 1
    assert phases.count(Phase.CLOSED) == 1
    assert found.episodes is not None
    last = rows[105]
    assert found.episodes.since[last] == later.times[rows[100]]
    assert found.episodes.worst[last] == found.score[rows[100:106]].max()
    at = np.flatnonzero(found.episodes.told == last)[0]
    assert found.episodes.share[at].argmax() == 1
    assert found.episodes.share[at].sum() == pytest.approx(1)


def test_entities_are_judged_side_by_side_as_alone(detector: Detector, later: Fleet) -> None:
    found, hosts = judged(detector, later), np.array(later.keys)
    for host in HOSTS:
        own = hosts == host
        alone = detector.detect(later.matrix[own], keys=[host] * own.sum(), times=later.times[own])
        np.testing.assert_allclose(alone.score, found.score[own], rtol=1e-5)


def test_keys_and_times_are_asked_for(detector: Detector, later: Fleet) -> None:
    with pytest.raises(DataError, match="give `keys`"):
        detector.score(later.matrix, times=later.times)
    with pytest.raises(DataError, match="give `times`"):
        detector.score(later.matrix, keys=later.keys)


def test_no_rows_are_no_rows(detector: Detector) -> None:
    found = detector.detect(np.empty((0, 4)), keys=[], times=[])
    assert len(found.score) == 0


def test_window_1_remembers_nothing(history: Fleet) -> None:
    alone = Detector(false_alarm_rate=0.01, steps=50, window=1).fit(history.matrix[:, :3])
    assert not alone.remembers
    assert alone.stream().snapshot() == b""


def test_rows_in_random_order_are_judged_alone() -> None:
    random = np.random.default_rng(0)
    assert not Detector(steps=50).fit(random.standard_normal((2000, 5))).remembers


@pytest.mark.parametrize(
    ("counters", "remembered"), [(False, 360 + 8 * 3 * 9 + 4 * 3), (True, 360 + 8 * 4 * 9 + 4 * 4 + 40 + 8)]
)
def test_the_bytes_of_an_entity_are_those_that_the_page_says(counters: bool, remembered: int) -> None:
    past = fleet(300, counter=counters)
    stream = Detector(steps=20).fit(past.matrix, keys=past.keys, times=past.times).stream()
    before = len(stream.snapshot())
    new = fleet(1, counter=counters, hosts=("new",))
    stream.detect(new.matrix, keys=new.keys, times=new.times)
    assert len(stream.snapshot()) - before == remembered + len(b"\xa3new")
