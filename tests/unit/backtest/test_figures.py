"""What a backtest counts: episodes, entities, other rates, incidents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aestream.backtest import episodes, figures
from aestream.backtest.outcome import Outcome
from aestream.messages.scores import FeatureShare
from aestream.types import Level, Status


def outcome(owner: list[int], **columns: Any) -> Outcome:
    """Records of entities `a`, `b` ..., a minute apart, all of them normal and judged, but for `columns`."""
    count = len(owner)
    given: dict[str, Any] = {
        "rate": 0.01,
        "sampled": False,
        "remembers": False,
        "entities": list("abc")[: max(owner) + 1],
        "owner": np.array(owner),
        "number": np.arange(count),
        "times": np.arange(count) * 60.0,
        "score": np.full(count, 0.5),
        "p_value": np.full(count, 0.6),
        "anomaly": np.zeros(count, bool),
        "status": np.zeros(count, np.uint8),
        "level": np.zeros(count, np.uint8),
        "lasted": np.zeros(count, np.int64),
        "opened": None,
        "labels": None,
        "top": {},
        "unusable": 0,
        "why": None,
    }
    return Outcome(**given | columns)


def flags(count: int, *places: int) -> np.ndarray[Any, Any]:
    made = np.zeros(count, bool)
    made[list(places)] = True
    return made


def test_anomalies_close_to_each_other_are_one_episode_of_one_entity() -> None:
    of = outcome([0] * 100 + [1] * 10, anomaly=flags(110, 3, 33, 64, 98, 100))
    # 30 records without an anomaly end an episode: between 33 and 64 lie 30
    assert [episode.places.tolist() for episode in episodes.found(of)] == [[3, 33], [64], [98], [100]]
    assert [episode.entity for episode in episodes.found(of)] == [0, 0, 0, 1]


def test_late_records_do_not_separate_episodes() -> None:
    status = np.zeros(60, np.uint8)
    status[10:20] = Status.LATE
    of = outcome([0] * 60, anomaly=flags(60, 5, 40), status=status)
    assert len(episodes.found(of)) == 1


def test_where_the_detector_says_what_opens_an_episode_it_is_believed() -> None:
    of = outcome([0] * 100, anomaly=flags(100, 3, 4, 5, 60), opened=flags(100, 3, 5))
    assert [episode.places.tolist() for episode in episodes.found(of)] == [[3, 4], [5, 60]]


def test_entities_are_listed_by_their_episodes_with_the_features_that_tell() -> None:
    score = np.full(120, 0.5)
    score[[5, 50, 100]] = [3.0, 9.0, 20.0]
    shares = {
        5: [FeatureShare("cpu", 1.0, 0.0, 0.9), FeatureShare("io", 1.0, 0.0, 0.1)],
        50: [FeatureShare("io", 1.0, 0.0, 0.95)],
        100: [FeatureShare("mem", 1.0, 0.0, 1.0)],
    }
    of = outcome([0] * 80 + [1] * 30 + [2] * 10, score=score, anomaly=flags(120, 5, 50, 100), top=shares)
    listed = figures.by_entity(of, episodes.found(of))
    assert [(one.entity, one.records, one.flagged, one.episodes, one.worst) for one in listed] == [
        (0, 80, 2, 2, 50),
        (1, 30, 1, 1, 100),
        (2, 10, 0, 0, 110),
    ]
    assert [list(one.telling) for one in listed] == [["io", "cpu"], ["mem"], []]


def test_other_rates_are_counted_by_p_values_of_records_judged_in_full() -> None:
    p_value = np.full(200, 0.5)
    p_value[[10, 11, 100]] = 0.05
    p_value[50], p_value[150] = 0.002, 1e-9
    status = np.zeros(200, np.uint8)
    status[100] = Status.WARMING
    of = outcome([0] * 200, p_value=p_value, status=status, anomaly=flags(200, 50, 150))
    told = [(cost.rate, cost.flagged, cost.episodes) for cost in figures.costs(of, episodes.found(of))]
    assert told == [
        (pytest.approx(0.1), 4, 3),
        (pytest.approx(0.03), 2, 2),
        (0.01, 2, 2),
        (pytest.approx(0.003), 2, 2),
        (pytest.approx(0.001), 1, 1),
    ]


def test_a_calibrator_that_counts_does_not_pretend_to_know_lower_rates() -> None:
    p_value = np.full(50, 0.5)
    p_value[10] = 0.005
    of = outcome([0] * 50, p_value=p_value, sampled=True, anomaly=flags(50, 10))
    assert [cost.flagged for cost in figures.costs(of, episodes.found(of))] == [1, 1, 1, None, None]


def test_rates_of_more_than_half_are_left_out() -> None:
    assert next(cost.rate for cost in figures.costs(outcome([0] * 9, rate=0.2), [])) == 0.2


def test_labels_tell_what_was_found_when_and_what_was_false() -> None:
    labels = flags(200, *range(20, 30), *range(98, 103), 150)
    anomaly = flags(200, 23, 24, 60, 99, 160)
    of = outcome([0] * 100 + [1] * 100, labels=labels, anomaly=anomaly)
    found = episodes.found(of)
    against = figures.against(of, found)
    assert against is not None
    # the labelled records 98 to 102 are of two entities
    assert against.incidents.tolist() == [[20, 29], [98, 99], [100, 102], [150, 150]]
    assert against.first.tolist() == [23, 99, -1, -1]
    assert against.found == 2
    assert (against.normal, against.flagged_normal, against.false_episodes) == (184, 2, 2)
    assert figures.delay(of, against) == 120.0  # 3 minutes and 1
    assert figures.against(outcome([0]), []) is None


def test_levels_are_those_at_the_end_and_begin_where_they_began() -> None:
    level, lasted, status = np.zeros(30, np.uint8), np.zeros(30, np.int64), np.zeros(30, np.uint8)
    level[5:10], lasted[5:10] = Level.MOVED, np.arange(1, 6)
    level[12:15], lasted[12:15] = Level.HELD, np.arange(1, 4)
    status[9] = Status.LATE
    of = outcome([0] * 10 + [1] * 20, level=level, lasted=lasted, status=status)
    assert of.at_level(Level.HELD).tolist() == []
    (moved,) = of.at_level(Level.MOVED).tolist()
    assert (moved, of.since(moved)) == (8, 5)


def test_a_level_has_lasted_for_records_that_were_judged_in_full() -> None:
    level, status = np.full(30, Level.MOVED, np.uint8), np.zeros(30, np.uint8)
    status[10:15] = Status.WARMING  # after a gap
    status[20] = Status.LATE
    lasted = np.maximum(np.cumsum(status == Status.SCORED) - 4, 0)
    of = outcome([0] * 30, level=level, lasted=lasted, status=status)
    assert (lasted[29], of.since(29)) == (20, 4)
    assert outcome([0] * 30, level=level, lasted=lasted + 90, status=status).since(29) == 0


def test_entities_and_moments_are_called_as_people_write_them() -> None:
    of = outcome([0, 1, 2], entities=["web-1", ("rack", None, "3"), b"\xff\n"])
    assert [of.called(entity) for entity in range(3)] == ["web-1", "rack  3", "\\ufffd\\n"]
    assert of.when(np.array([1])) == ["1970-01-01T00:01:00Z"]
    assert outcome([0, 0], times=None).when(np.array([1])) == [1]
    assert outcome([0, 0], times=None).days is None
    assert outcome([0] * 1441).days == 1.0
