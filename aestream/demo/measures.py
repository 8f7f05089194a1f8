"""How well scores rank the labelled rows: area under the ROC curve and average precision."""

from __future__ import annotations

import numpy as np

from aestream.types import Flags, Vector


def auroc(label: Flags, score: Vector) -> float | None:
    """The chance that a labelled row scores higher than an unlabelled one; ties count half. Both arrays are (n,).

    By the rank sum of Mann and Whitney (1947). None unless there are rows of both kinds.
    """
    positive = int(label.sum())
    negative = len(label) - positive
    if not positive or not negative:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # tied rows share the mean of their ranks
    total = ranks[inverse][label].sum()
    return float((total - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(label: Flags, score: Vector) -> float | None:
    """The precision at every distinct score, weighted by the gain in recall (AUPRC); None if no row is labelled."""
    positive = int(label.sum())
    if not positive:
        return None
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(label[order])
    last = np.append(np.diff(score[order]) != 0, True)  # a group of ties is flagged all at once
    precision = found[last] / (np.flatnonzero(last) + 1)
    recall = found[last] / positive
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
