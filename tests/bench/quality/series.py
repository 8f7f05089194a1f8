"""Time series, learnt from their training half and judged row by row: ranking, incidents, false alarms, root causes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library

RATE = 0.01
QUICK_STEP = 4


def series(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every recording, with the first seed."""
    if scope.wants(AESTREAM):
        for data in library.recordings()[:: QUICK_STEP if scope.quick else 1]:
            yield Cell("series", data, "", scope.seeds[0], AESTREAM)


def measure_series(cell: Cell, library: Library) -> Figures:
    """AUROC and AUPRC of rows; incidents found and normal rows flagged; the causes among the features blamed most."""
    recording = library.recording(cell.data)
    test, label = recording.test.astype(np.float64), recording.label
    detector, judged = ours.judge(recording.train.astype(np.float64), test, RATE, cell.seed)
    known = [incident for incident in recording.incidents if incident.causes]
    hits = []
    for incident in known:
        causes = [recording.names.index(name) for name in incident.causes]
        weight = ours.blame(detector, test[incident.rows])
        hits.append([measures.hit_rate(causes, weight, share) for share in (1.0, 1.5)])
    hit100, hit150 = np.mean(hits, axis=0) if hits else (float("nan"), float("nan"))
    return {
        **measures.ranking(label, judged.error),
        "incidents": len(recording.incidents),
        "found": measures.found(recording.incidents, judged.flags),
        "false_alarms": float(judged.flags[~label].mean()),
        "hit100": float(hit100),
        "hit150": float(hit150),
        "explained": len(known),
    }
