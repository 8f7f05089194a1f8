"""The bench's measures, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aestream.demo.incidents import Incident
from tests.bench.quality import measures


def test_ranking_of_four_rows() -> None:
    label, score = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
    # Three of the four pairs are in order; precision 1 at the first anomaly and 2/3 at the second.
    assert measures.ranking(label, score) == pytest.approx({"auroc": 0.75, "auprc": (1 + 2 / 3) / 2})


def test_rows_of_one_kind_rank_nothing() -> None:
    with pytest.raises(ValueError, match="one kind"):
        measures.ranking(np.zeros(3, bool), np.arange(3.0))


def test_an_incident_is_found_by_any_of_its_rows_and_by_no_other() -> None:
    flags = np.array([True, False, False, True, False])
    assert measures.found([Incident("", 1, 2), Incident("", 2, 3), Incident("", 4, 4)], flags) == 1


@pytest.mark.parametrize(
    ("causes", "share", "hit"),
    [
        ([0], 1.0, 0.0),  # feature 3 is blamed most
        ([3], 1.0, 1.0),
        ([0, 3], 1.0, 1 / 2),  # among the first two: 3 and 1
        ([0, 3], 1.5, 1.0),  # among the first three: 3, 1 and 0
        ([2], 1.5, 0.0),  # floor(1.5) is 1
    ],
)
def test_hit_rate(causes: list[int], share: float, hit: float) -> None:
    assert measures.hit_rate(causes, np.array([0.2, 0.3, 0.1, 0.4]), share) == hit


@pytest.mark.parametrize(("causes", "share", "chance"), [(2, 1.0, 0.2), (3, 1.5, 0.4), (8, 1.5, 1.0)])
def test_the_chance_of_a_hit(causes: int, share: float, chance: float) -> None:
    random = np.random.default_rng(0)
    assert measures.hit_chance(causes, 10, share) == chance
    tried = [measures.hit_rate(range(causes), random.random(10), share) for _ in range(2_000)]
    assert np.mean(tried) == pytest.approx(chance, abs=0.03)


def test_explained_variance() -> None:
    rows = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) + 5.0
    assert measures.explained(rows, rows) == 1.0
    assert measures.explained(rows, np.full_like(rows, 5.0)) == 0.0
    assert measures.explained(rows, np.column_stack([rows[:, 0], np.full(4, 5.0)])) == pytest.approx(0.8)  # 8 of 10


def test_energy_left() -> None:
    clean, noisy = np.zeros((2, 2)), np.array([[3.0, 0.0], [0.0, 4.0]])
    assert measures.energy_left(clean, noisy, noisy) == 1.0
    assert measures.energy_left(clean, noisy, noisy / 2) == 0.25
    assert measures.energy_left(clean, noisy, noisy * [[1], [0]]) == pytest.approx(9 / 25)


def test_the_delay_is_that_of_the_incidents_found() -> None:
    flags = np.array([False, False, True, False, False, True, True, False])
    incidents = [Incident("", 0, 2), Incident("", 3, 4), Incident("", 6, 7)]
    assert measures.delay(incidents, flags) == (2 + 0) / 2
    assert np.isnan(measures.delay(incidents[1:2], flags))


@pytest.mark.parametrize(("places", "episodes"), [([], 0), ([0], 1), ([5, 36], 1), ([5, 37], 2), ([0, 20, 40, 99], 2)])
def test_flags_close_together_are_one_episode(places: list[int], episodes: int) -> None:
    flags = np.zeros(100, bool)
    flags[places] = True
    assert measures.episodes(flags) == episodes


def test_calm_rows_are_normal_and_follow_no_incident() -> None:
    label = np.zeros(60, bool)
    label[10:15] = True
    assert np.flatnonzero(~measures.calm(label)).tolist() == list(range(10, 35))  # 20 rows after row 14
    assert measures.calm(np.zeros(3, bool)).all()
