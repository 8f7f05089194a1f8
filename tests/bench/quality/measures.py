"""What is computed from scores, flags and reconstructions. AUROC and AUPRC are those of the demo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aestream.demo.incidents import Incident
from aestream.demo.measures import auroc, average_precision
from tests.bench.quality.cells import Figures
from tests.bench.quality.data import Labels, Rows

# In rows: flags that lie further apart are two episodes, and for so long an incident may echo.
APART, AFTERMATH = 30, 20


def ranking(label: Labels, score: Rows) -> Figures:
    """AUROC and AUPRC of scores (n,), as shares of 1."""
    roc, precision = auroc(label, score), average_precision(label, score)
    if roc is None or precision is None:
        raise ValueError("the rows to judge hold only one kind of label")
    return {"auroc": roc, "auprc": precision}


def found(incidents: Sequence[Incident], flags: Labels) -> int:
    """How many incidents have a flagged row; flags (n,)."""
    return sum(bool(flags[incident.rows].any()) for incident in incidents)


def delay(incidents: Sequence[Incident], flags: Labels) -> float:
    """The rows from the start of an incident to its first flag, mean over those that are found; NaN for none."""
    delays = [int(np.argmax(flags[incident.rows])) for incident in incidents if flags[incident.rows].any()]
    return float(np.mean(delays)) if delays else float("nan")


def episodes(flags: Labels) -> int:
    """How often somebody is called: flags (n,) that at most 30 rows without one lie between are one episode."""
    return int((np.diff(np.flatnonzero(flags), prepend=-APART - 2) > APART + 1).sum())


def calm(label: Labels) -> Labels:
    """Which rows (n,) are normal and do not follow a labelled one within 20 rows."""
    last = np.maximum.accumulate(np.where(label, np.arange(len(label)), -AFTERMATH - 1))
    quiet: Labels = np.arange(len(label)) - last > AFTERMATH
    return quiet


def hit_rate(causes: Sequence[int], weight: Rows, share: float) -> float:
    """HitRate@P% (Su et al. 2019): the part of the causes among the first floor(P * causes) features by weight (d,)."""
    first = np.argsort(-weight, kind="stable")[: int(share * len(causes))]
    return len(set(first.tolist()) & set(causes)) / len(causes)


def hit_chance(causes: int, features: int, share: float) -> float:
    """The HitRate that features in any order have in the mean: some incidents show in most of the features."""
    return min(int(share * causes), features) / features


def explained(rows: Rows, rebuilt: Rows) -> float:
    """The share of the variance of rows (n, d) that their reconstructions hold."""
    return 1.0 - float(np.square(rows - rebuilt).sum() / np.square(rows - rows.mean(axis=0)).sum())


def energy_left(clean: Rows, noisy: Rows, denoised: Rows) -> float:
    """The squared distance to the clean rows (n, d) after denoising, as a share of that before."""
    return float(np.square(denoised - clean).sum() / np.square(noisy - clean).sum())
