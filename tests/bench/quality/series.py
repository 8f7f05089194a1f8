"""Time series, learnt from their training half and judged row by row: ranking, incidents, false alarms, root causes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library

RATE = 0.01
# HitRate at 100 % and 150 % of the number of causes.
SHARES = (1.0, 1.5)
QUICK_STEP = 4


def series(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every recording, with every seed."""
    if scope.wants(AESTREAM):
        for data in library.recordings()[:: QUICK_STEP if scope.quick else 1]:
            yield from (Cell("series", data, "", seed, AESTREAM) for seed in scope.seeds)


def measure_series(cell: Cell, library: Library, **options: Any) -> Figures:
    """Rank rows, find incidents, count normal rows flagged, and look for the causes among the features blamed most.

    With the detector's defaults but for `options`.
    """
    recording = library.recording(cell.data)
    test, label = recording.test.astype(np.float64), recording.label
    detector, judged = ours.judge(recording.train.astype(np.float64), test, RATE, cell.seed, **options)
    known = [incident for incident in recording.incidents if incident.causes]
    hits, chances = [], []
    for incident in known:
        causes = [recording.names.index(name) for name in incident.causes]
        weight = ours.blame(detector, test[incident.rows])
        hits.append([measures.hit_rate(causes, weight, share) for share in SHARES])
        chances.append([measures.hit_chance(len(causes), len(recording.names), share) for share in SHARES])
    mean = np.mean([hits, chances], axis=1) if known else np.full((2, len(SHARES)), np.nan)
    return {
        **measures.ranking(label, judged.error),
        "incidents": len(recording.incidents),
        "found": measures.found(recording.incidents, judged.flags),
        "false_alarms": float(judged.flags[~label].mean()),
        "hit100": float(mean[0, 0]),
        "hit150": float(mean[0, 1]),
        "chance100": float(mean[1, 0]),
        "chance150": float(mean[1, 1]),
    }
