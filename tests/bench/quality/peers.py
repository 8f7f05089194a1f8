"""The detectors that aestream is measured against, with their authors' defaults: scikit-learn's, else PyOD's."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from sklearn.covariance import MinCovDet
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from aestream.errors import ConfigurationError
from tests.bench.quality.cells import AESTREAM
from tests.bench.quality.data import Rows
from tests.bench.quality.ours import Ours

# A robust covariance of more features takes hours.
MCD_FEATURES = 500


PYOD = ("PyOD AutoEncoder", "ECOD")


def require(methods: Iterable[str]) -> None:
    """See that what some detectors need is installed.

    Raises:
        ConfigurationError: when it is not.

    """
    needed = [name for name in PYOD if name in methods]
    if needed and not find_spec("pyod"):
        raise ConfigurationError(f"PyOD is not installed, for {' and '.join(needed)}: pip install -e '.[bench]'")


class Peer(Protocol):
    """The higher the score, the less normal."""

    def fit(self, rows: Rows) -> Peer:
        """Learn from (n, d) standardised rows."""

    def score(self, rows: Rows) -> Rows:
        """Return a score for each of (m, d) rows, (m,)."""


class Neighbours:
    """The distance to the fifth nearest training row, PyOD's default."""

    def fit(self, rows: Rows) -> Neighbours:
        """Keep the rows."""
        self._model = NearestNeighbors(n_neighbors=min(5, len(rows))).fit(rows)
        return self

    def score(self, rows: Rows) -> Rows:
        """Return the distances."""
        distances: Rows = self._model.kneighbors(rows)[0]
        return distances[:, -1]


class Negated:
    """A detector of scikit-learn, whose scores are high for normal rows."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, rows: Rows) -> Negated:
        """Learn from rows."""
        self._model.fit(rows)
        return self

    def score(self, rows: Rows) -> Rows:
        """Return the scores, turned round."""
        return -np.asarray(self._model.score_samples(rows), np.float64)


class RobustCovariance:
    """The Mahalanobis distance by the minimum covariance determinant."""

    def __init__(self, seed: int) -> None:
        self._model = MinCovDet(random_state=seed)

    def fit(self, rows: Rows) -> RobustCovariance:
        """Learn the covariance of the inner rows."""
        if rows.shape[1] > MCD_FEATURES:
            raise NotImplementedError(f"not run on more than {MCD_FEATURES} features: it takes hours")
        self._model.fit(rows)
        return self

    def score(self, rows: Rows) -> Rows:
        """Return the squared distances."""
        return np.asarray(self._model.mahalanobis(rows), np.float64)


class Pyod:
    """A detector of PyOD."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, rows: Rows) -> Pyod:
        """Learn from rows, without a word."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self._model.fit(rows)
        return self

    def score(self, rows: Rows) -> Rows:
        """Return PyOD's decision function."""
        return np.asarray(self._model.decision_function(rows), np.float64)


def _autoencoder(seed: int) -> Peer:
    from pyod.models.auto_encoder import AutoEncoder  # noqa: PLC0415 - needed for two peers only

    return Pyod(AutoEncoder(verbose=0, random_state=seed))


def _ecod(_seed: int) -> Peer:
    from pyod.models.ecod import ECOD  # noqa: PLC0415

    return Pyod(ECOD())


# In the order of the table; each takes the seed.
PEERS: dict[str, Callable[[int], Peer]] = {
    "KNN (k = 5)": lambda _seed: Neighbours(),
    "LOF": lambda _seed: Negated(LocalOutlierFactor(n_neighbors=20, novelty=True)),
    "PyOD AutoEncoder": _autoencoder,
    "Isolation Forest": lambda seed: Negated(IsolationForest(n_estimators=100, random_state=seed)),
    "OCSVM": lambda _seed: Negated(OneClassSVM(gamma="auto")),
    "MCD": RobustCovariance,
    "ECOD": _ecod,
}
DETECTORS: dict[str, Callable[[int], Peer]] = {AESTREAM: lambda seed: Ours(seed=seed), **PEERS}
