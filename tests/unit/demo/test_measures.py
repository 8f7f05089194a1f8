"""The ranking measures agree with scikit-learn, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from aestream.demo.measures import auroc, average_precision


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_as_scikit_learn(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.random(300) < 0.1
    score = np.round(rng.normal(size=300) + label, decimals)
    assert auroc(label, score) == pytest.approx(roc_auc_score(label, score))
    assert average_precision(label, score) == pytest.approx(average_precision_score(label, score))


def test_nothing_to_compare() -> None:
    score = np.arange(4.0)
    assert auroc(np.zeros(4, bool), score) is None
    assert auroc(np.ones(4, bool), score) is None
    assert average_precision(np.zeros(4, bool), score) is None
    assert average_precision(np.array([False, False, False, True]), score) == 1.0
