"""What others reach on a recording: `python -m tests.recording.peers FILE.npz` prints the tables of docs/recording.md.

Each detector sees single rows, standardised by the training part, and scores every row of the test part. The
threshold of the second table is the 99.9 % quantile of the scores of the training part's last fifth, by a detector
that was fitted on the rest of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

QUANTILE = 0.999
HELD_OUT = 0.2
NEIGHBOURS = 10


class Peer(Protocol):
    """A detector: fit on rows without faults, then the higher the score, the less normal."""

    def fit(self, rows: Floats) -> Peer:
        """Learn from `rows` (n, features) and return itself."""

    def score(self, rows: Floats) -> Floats:
        """Return a score for each of `rows`, (n,)."""


class Forest:
    """Isolation Forest."""

    def fit(self, rows: Floats) -> Forest:
        """Grow 300 trees."""
        self._model = IsolationForest(n_estimators=300, random_state=0).fit(rows)
        return self

    def score(self, rows: Floats) -> Floats:
        """Return how easily each row is set apart."""
        return np.asarray(-self._model.score_samples(rows))


class Components:
    """Principal components: the squared error of the reconstruction."""

    def fit(self, rows: Floats) -> Components:
        """Keep the components that hold 90 % of the variance."""
        self._model = PCA(n_components=0.9, random_state=0).fit(rows)
        return self

    def score(self, rows: Floats) -> Floats:
        """Return the mean squared error of each row."""
        back = self._model.inverse_transform(self._model.transform(rows))
        return np.asarray(((rows - back) ** 2).mean(axis=1))


class Neighbours:
    """Nearest neighbours: the mean distance to the nearest rows of the training part."""

    def fit(self, rows: Floats) -> Neighbours:
        """Keep the rows."""
        self._model = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(rows)
        return self

    def score(self, rows: Floats) -> Floats:
        """Return the mean distance of each row."""
        return np.asarray(self._model.kneighbors(rows)[0].mean(axis=1))


class Outliers:
    """Local outlier factor, as a novelty detector."""

    def fit(self, rows: Floats) -> Outliers:
        """Learn the local densities."""
        self._model = LocalOutlierFactor(n_neighbors=NEIGHBOURS, novelty=True).fit(rows)
        return self

    def score(self, rows: Floats) -> Floats:
        """Return the factor of each row."""
        return np.asarray(-self._model.score_samples(rows))


class Extremes:
    """The largest absolute z-score of a row: a threshold on every metric by itself."""

    def fit(self, rows: Floats) -> Extremes:
        """Learn nothing: the rows are standardised."""
        del rows
        return self

    def score(self, rows: Floats) -> Floats:
        """Return the largest absolute value of each row."""
        return np.asarray(np.abs(rows).max(axis=1))


PEERS: dict[str, Callable[[], Peer]] = {
    "Isolation Forest, 300 trees": Forest,
    "PCA, 90 % of the variance": Components,
    f"{NEIGHBOURS} nearest neighbours": Neighbours,
    "Local outlier factor": Outliers,
    "largest z-score": Extremes,
}


def standardised(train: Floats, rows: Floats) -> Floats:
    """Return `rows` by mean and standard deviation of `train`; what is constant there keeps its unit."""
    deviation = train.std(axis=0)
    return np.asarray((rows - train.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0))


def flags(make: Callable[[], Peer], train: Floats, test: Floats) -> NDArray[np.bool_]:
    """Return the rows of `test` above the threshold, (n,); it comes from `train` alone."""
    cut = int((1.0 - HELD_OUT) * len(train))
    peer = make().fit(train[:cut])
    return np.asarray(peer.score(test) > np.quantile(peer.score(train[cut:]), QUANTILE))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.recording.peers", description="What others reach.")
    parser.add_argument("file", type=Path)
    with np.load(parser.parse_args().file, allow_pickle=False) as bundle:
        raw, label = bundle["train"].astype(float), bundle["label"].astype(bool)
        train, test = standardised(raw, raw), standardised(raw, bundle["test"].astype(float))
        causes, names = str(bundle["causes"]).splitlines(), list(bundle["incidents"])
    spans = [tuple(int(end) for end in line.split(":")[0].split("-")) for line in causes]
    flagged = {name: flags(make, train, test) for name, make in PEERS.items()}
    print("| detector | AUROC | AUPRC | found | normal rows flagged |\n|---|---|---|---|---|")
    for name, make in PEERS.items():
        score = make().fit(train).score(test)
        found = sum(bool(flagged[name][start : end + 1].any()) for start, end in spans)
        curves = f"{roc_auc_score(label, score):.3f} | {average_precision_score(label, score):.3f}"
        print(f"| {name} | {curves} | {found} of {len(spans)} | {100 * flagged[name][~label].mean():.2f} % |")
    print(f"\nLabelled rows: {100 * label.mean():.1f} %.\n")
    print("| rows | fault | " + " | ".join(PEERS) + " |\n|---|---|" + "---|" * len(PEERS))
    for name, (start, end) in zip(names, spans, strict=True):
        shares = " | ".join(f"{100 * flagged[peer][start : end + 1].mean():.0f} %" for peer in PEERS)
        print(f"| {start}-{end} | {name} | {shares} |")


if __name__ == "__main__":
    main()
