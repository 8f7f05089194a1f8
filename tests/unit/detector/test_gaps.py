"""How long a gap is belongs to each entity: two hosts, of which one reports sixty times as often as the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aestream import Detector
from aestream.detector import course
from aestream.detector.detection import Detection
from aestream.inference.intervals import longest_intervals
from aestream.inference.order import Order
from aestream.types import Flags, Matrix, Status, Vector
from tests.unit.detector.test_stream import START, Fleet

FAST, SLOW = 10.0, 600.0  # seconds between the records of a host
HOUR = 3600.0  # an outage of the fast host, and nothing for the slow one
END = START + 160 * SLOW  # of the training
ROWS = {"fast": 3000, "slow": 160}


def waves(times: NDArray[Any], pace: float) -> Matrix:
    """Two waves of some forty records and their sum, with noise: (n, 3)."""
    slow, fast = np.sin(times / pace / 7), np.cos(times / pace / 11)
    noise = np.random.default_rng(len(times)).standard_normal((len(times), 3))
    rows: Matrix = np.stack([slow, fast, slow + fast], axis=1) + 0.05 * noise
    return rows


def hosts(times: dict[str, NDArray[Any]]) -> Fleet:
    """The records of hosts at these times, in the order of time."""
    stamps = np.concatenate(list(times.values()))
    rows = np.vstack([waves(own, FAST if name == "fast" else SLOW) for name, own in times.items()])
    keys = [name for name, own in times.items() for _ in own]
    order = np.argsort(stamps, kind="stable")
    return Fleet(rows[order], [keys[row] for row in order], stamps[order])


@pytest.fixture(scope="module")
def history() -> Fleet:
    """Records up to the end of the training; the fast host had an outage."""
    fast = END - FAST * np.arange(ROWS["fast"], 0, -1)
    fast[:1000] -= HOUR
    return hosts({"fast": fast, "slow": END - SLOW * np.arange(ROWS["slow"], 0, -1)})


@pytest.fixture(scope="module")
def detector(history: Fleet) -> Detector:
    fitted = Detector(window=10, steps=50, false_alarm_rate=0.02)
    return fitted.fit(history.matrix, keys=history.keys, times=history.times)


@pytest.fixture(scope="module")
def later() -> Fleet:
    """Nobody reports for an hour. Later the slow host is away for half a day; two hosts are new."""
    fast = END + HOUR + FAST * np.arange(300)
    slow = END + HOUR + SLOW * np.arange(60)
    slow[30:] += 12 * HOUR
    new = END + HOUR + SLOW * np.arange(40)
    new[20:] += HOUR  # six of its intervals
    return hosts({"fast": fast, "slow": slow, "new": new})


def warming(found: Detection, some: Fleet, host: str) -> list[int]:
    """Which records of a host are warming, by their place among its own."""
    own: Flags = np.array(some.keys) == host
    places: list[int] = np.flatnonzero(found.status[own] == Status.WARMING).tolist()
    return places


def test_the_window_of_each_host_starts_anew_after_a_gap_of_its_own(detector: Detector, later: Fleet) -> None:
    found = detector.stream().detect(later.matrix, keys=later.keys, times=later.times)
    assert warming(found, later, "fast") == list(range(9))
    assert warming(found, later, "slow") == list(range(30, 39))
    assert warming(found, later, "new") == list(range(9))  # the gap of a new host is that of the slowest
    assert not (found.status == Status.LATE).any()


def test_what_the_training_decided_says_how_long_gaps_are(detector: Detector) -> None:
    told = "an entity begins anew after more than 100 to 6,000 s without a record, by how often its records come"
    assert told in detector.decisions


def test_a_host_has_its_gaps_when_it_begins_anew(detector: Detector, history: Fleet) -> None:
    found = detector.detect(history.matrix, keys=history.keys, times=history.times)
    assert warming(found, history, "fast") == [*range(9), *range(1000, 1009)]
    assert warming(found, history, "slow") == list(range(9))


def test_gaps_are_those_of_the_training_in_pieces_and_in_a_saved_model(
    detector: Detector, later: Fleet, tmp_path: Path
) -> None:
    whole = detector.detect(later.matrix, keys=later.keys, times=later.times)
    detector.save(tmp_path / "m")
    stream, status = detector.stream(), []
    for rows in np.array_split(np.arange(len(later.keys)), 12):
        snapshot = stream.snapshot()
        stream = Detector.load(tmp_path / "m").stream()
        stream.restore(snapshot)
        part = later.at(slice(rows[0], rows[-1] + 1))
        status.append(stream.detect(part.matrix, keys=part.keys, times=part.times).status)
    np.testing.assert_array_equal(np.concatenate(status), whole.status)


def test_max_gap_counts_the_usual_intervals_of_each_host(history: Fleet, later: Fleet) -> None:
    detector = Detector(window=10, steps=10, max_gap=5, false_alarm_rate=0.02)
    detector.fit(history.matrix, keys=history.keys, times=history.times)
    found = detector.detect(later.matrix, keys=later.keys, times=later.times)
    assert warming(found, later, "slow") == [*range(9), *range(30, 39)]
    assert warming(found, later, "new") == [*range(9), *range(20, 29)]


def test_hosts_of_one_pace_are_judged_as_with_one_gap_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def general(order: Order, max_gap: float | None = None) -> Vector:
        found = longest_intervals(order, max_gap)
        return np.full_like(found, found[0])

    random = np.random.default_rng(0)
    times = {name: START + FAST * np.arange(600.0) + random.uniform(0, 0.5, 600) for name in ("a", "b", "c")}
    for host in times.values():
        host[300:] += HOUR
        host[500:] += HOUR
    some, scores = hosts(times), []
    past, later = some.at(slice(1200)), some.at(slice(1200, None))
    for _ in range(2):
        detector = Detector(window=10, steps=30, false_alarm_rate=0.02)
        detector.fit(past.matrix, keys=past.keys, times=past.times)
        scores.append(detector.detect(later.matrix, keys=later.keys, times=later.times).score)
        monkeypatch.setattr(course, "longest_intervals", general)
    np.testing.assert_array_equal(scores[0], scores[1])
