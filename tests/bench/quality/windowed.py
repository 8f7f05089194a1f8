"""Peers that see ten rows at a time: closed forms that a network must beat, and the row peers on windows.

A window is the last ten rows, flattened, newest last; before the first row that row is repeated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.bench.quality.data import Rows
from tests.bench.quality.peers import PEERS, Peer

WINDOW = 10
# A score looks at the mean square over so many newest rows, for each of these.
HORIZONS = (1, 2, 3, 5, 7, 10)
# In standard deviations of a feature: finer differences do not count.
PRECISION = 0.02
VARIANCE = 0.9
RIDGE = 0.1
TRIM, REFITS = 0.1, 2


def windows(rows: Rows) -> Rows:
    """Turn (n, d) rows into the window that ends at each, (n, 10 d)."""
    places = np.arange(len(rows))[:, None] + np.arange(1 - WINDOW, 1)
    flat: Rows = rows[np.maximum(places, 0)].reshape(len(rows), -1)
    return flat


def over_horizons(residuals: Rows) -> Rows:
    """Turn residuals of windows (n, 10 d) into a score (n,): by feature the mean RMS over horizons, then the RMS."""
    squares = np.square(residuals).reshape(len(residuals), WINDOW, -1)[:, ::-1].cumsum(axis=1)
    mean = np.mean([np.sqrt(squares[:, rows - 1] / rows) for rows in HORIZONS], axis=0)
    score: Rows = np.sqrt(np.square(mean).mean(axis=1))
    return score


class Components:
    """What principal components of windows leave over (Jackson and Mudholkar 1979), by the spread it has in training.

    As many components as hold 90 % of the variance.
    """

    def fit(self, rows: Rows) -> Components:
        """Learn the components."""
        flat = windows(rows)
        self._center = flat.mean(axis=0)
        variance, directions = np.linalg.eigh(np.cov(flat.T))
        share = np.cumsum(variance[::-1]) / variance.sum()
        self._directions = directions[:, ::-1][:, : int(np.searchsorted(share, VARIANCE)) + 1]
        self._spread = self._left(flat).std(axis=0) + PRECISION
        return self

    def score(self, rows: Rows) -> Rows:
        """Return how much is left over."""
        return over_horizons(self._left(windows(rows)) / self._spread)

    def _left(self, flat: Rows) -> Rows:
        centered = flat - self._center
        left: Rows = centered - centered @ self._directions @ self._directions.T
        return left


class Regressions:
    """How far each feature is from what ten rows of the others and its own nine earlier ones make of it.

    All ridge regressions at once, by the inverse of the windows' covariance, fitted anew without the worst tenth of the
    windows.
    """

    def fit(self, rows: Rows) -> Regressions:
        """Learn the regressions."""
        flat, width = windows(rows), rows.shape[1]
        kept = np.ones(len(flat), np.bool_)
        for _ in range(REFITS + 1):
            self._center = flat[kept].mean(axis=0)
            inverse = np.linalg.inv(np.cov((flat[kept] - self._center).T) + RIDGE * np.eye(flat.shape[1]))
            self._weights = inverse[:, -width:] / np.diag(inverse)[-width:]
            residuals = self._residuals(rows)
            self._spread = residuals.std(axis=0) + PRECISION
            error = np.square(residuals / self._spread).mean(axis=1)
            kept = error <= np.quantile(error, 1 - TRIM)
        return self

    def score(self, rows: Rows) -> Rows:
        """Return how far the last ten rows are off."""
        return over_horizons(windows(self._residuals(rows) / self._spread))

    def _residuals(self, rows: Rows) -> Rows:
        residuals: Rows = (windows(rows) - self._center) @ self._weights
        return residuals


class OverWindows:
    """A peer that takes windows for rows."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def fit(self, rows: Rows) -> OverWindows:
        """Learn from windows."""
        self._peer.fit(windows(rows))
        return self

    def score(self, rows: Rows) -> Rows:
        """Score each row's window."""
        return self._peer.score(windows(rows))


CLOSED: dict[str, Callable[[int], Peer]] = {
    "PCA over 10 rows": lambda _seed: Components(),
    "ridge regressions over 10 rows": lambda _seed: Regressions(),
}
_BY_ROWS = ("KNN (k = 5)", "Isolation Forest", "PyOD AutoEncoder")


def _over_windows(name: str) -> Callable[[int], Peer]:
    return lambda seed: OverWindows(PEERS[name](seed))


# In the order of the table; each takes the seed.
SERIES_PEERS: dict[str, Callable[[int], Peer]] = {
    **CLOSED,
    **{name: PEERS[name] for name in _BY_ROWS},
    **{f"{name} over 10 rows": _over_windows(name) for name in _BY_ROWS[:2]},
}
