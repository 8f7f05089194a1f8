"""VUS-PR gives what the published code gives (TSB-AD 1.5), and what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import RandomState

from tests.bench.quality.vus import NO_SEASON, season, vus_pr

# What `generate_curve(label, score, longest, "opt", 250)` of TSB-AD 1.5 returns for `case(seed)`.
PUBLISHED = {
    (0, 100): 0.360481248984,
    (0, 40): 0.214543541889,
    (1, 100): 0.762084888778,
    (1, 7): 0.630089917116,
    (2, 100): 0.943534532297,
    (2, 7): 0.886386115738,
    (3, 100): 0.385125622502,
    (3, 7): 0.135610021524,
    (4, 100): 0.661840530942,
    (4, 7): 0.527250386561,
}


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """600 rows with a few incidents: at the edges, touching, and with tied scores by seed."""
    random, label = RandomState(seed), np.zeros(600, bool)
    for _ in range(4):
        start = random.randint(0, 580)
        label[start : start + random.randint(1, 20)] = True
    if seed == 1:
        label[:5] = True
    if seed == 2:
        label[-3:] = True
    if seed == 3:
        label[100:110] = label[112:120] = True
    score = random.rand(600) + label * random.rand(600) * (seed % 3)
    return label, np.round(score, 1) if seed == 4 else score


@pytest.mark.parametrize(("seed", "longest"), PUBLISHED)
def test_the_figures_of_the_published_code(seed: int, longest: int) -> None:
    assert vus_pr(*case(seed), longest) == pytest.approx(PUBLISHED[seed, longest], abs=1e-9)


def test_without_buffers_it_is_nearly_the_average_precision() -> None:
    label, score = np.zeros(250, bool), np.arange(250.0)
    label[-5:] = True  # the five rows with the highest scores
    assert vus_pr(label, score, 0) == pytest.approx(1.0)
    assert vus_pr(label, -score, 0) < 0.05


def test_a_row_too_early_earns_something_with_buffers_alone() -> None:
    label, score = np.zeros(300, bool), RandomState(0).rand(300)
    label[100:110] = True
    score[95:100] = 2
    assert vus_pr(label, score, 0) < 0.1
    assert vus_pr(label, score, 40) > 0.3


def test_a_season_is_found_and_noise_has_none_to_speak_of() -> None:
    day = np.sin(np.arange(2000) * 2 * np.pi / 48)
    assert season(day + 0.1 * RandomState(0).rand(2000)) == 48
    assert season(np.ones(500)) == season(np.arange(500.0)) == NO_SEASON
