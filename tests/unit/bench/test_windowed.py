"""The closed forms over ten rows do what their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from tests.bench.quality.peers import Neighbours
from tests.bench.quality.windowed import (
    RIDGE,
    SERIES_PEERS,
    TRIM,
    VARIANCE,
    WINDOW,
    Components,
    OverWindows,
    Regressions,
    over_horizons,
    windows,
)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Two slow waves seen by four features, and noise."""
    random, time = np.random.default_rng(0), np.arange(800)[:, None]
    waves = np.concatenate([np.sin(time / 9), np.cos(time / 23)], axis=1)
    return waves @ random.normal(size=(2, 4)) + 0.1 * random.normal(size=(800, 4))


def test_a_window_ends_at_its_row_and_the_first_row_is_repeated() -> None:
    flat = windows(np.arange(24.0).reshape(12, 2))
    assert flat[0].tolist() == [0, 1] * WINDOW
    assert flat[11].tolist() == list(range(4, 24))


def test_horizons_weigh_the_newest_row_most() -> None:
    flat = np.zeros((2, WINDOW, 1))
    flat[0, -1] = flat[1, 0] = 1.0
    newest, oldest = over_horizons(flat.reshape(2, WINDOW))
    assert newest == pytest.approx(np.mean([1 / np.sqrt(rows) for rows in (1, 2, 3, 5, 7, 10)]))
    assert oldest == pytest.approx(1 / np.sqrt(10) / 6)


def test_components_leave_over_what_sklearns_do(rows: np.ndarray) -> None:
    flat, peer = windows(rows), Components().fit(rows)
    other = PCA(VARIANCE, svd_solver="full").fit(flat)
    assert peer._left(flat) == pytest.approx(flat - other.inverse_transform(other.transform(flat)), abs=1e-9)


def test_all_regressions_at_once_are_those_one_by_one(rows: np.ndarray) -> None:
    peer, flat = Regressions().fit(rows), windows(rows)
    error = np.square(peer._residuals(rows) / peer._spread).mean(axis=1)
    assert (error > np.quantile(error, 1 - TRIM)).sum() == 80
    again = Regressions()
    again._center, inverse = flat.mean(axis=0), np.linalg.inv(np.cov(flat.T) + RIDGE * np.eye(40))
    again._weights = inverse[:, -4:] / np.diag(inverse)[-4:]
    for feature in range(4):
        place = 36 + feature
        others = np.delete(flat, place, axis=1)
        ridge = Ridge(alpha=RIDGE * 799).fit(others, flat[:, place])  # the penalty on sums, not on the covariance
        assert again._residuals(rows)[:, feature] == pytest.approx(
            flat[:, place] - ridge.predict(others), rel=1e-6, abs=1e-8
        )


def test_a_peer_over_windows_sees_windows(rows: np.ndarray) -> None:
    peer = OverWindows(Neighbours()).fit(rows[:700])
    assert peer.score(rows[700:]) == pytest.approx(Neighbours().fit(windows(rows[:700])).score(windows(rows[700:])))


@pytest.mark.parametrize("name", [name for name in SERIES_PEERS if not name.startswith("PyOD")])
def test_every_peer_finds_a_jump(name: str, rows: np.ndarray) -> None:
    test = rows[600:].copy()
    test[100] += 5
    assert 100 <= int(np.argmax(SERIES_PEERS[name](0).fit(rows[:600]).score(test))) < 100 + WINDOW
