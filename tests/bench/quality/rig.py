"""SKAB, a test rig whose valves are closed (Katser and Kozitsin 2020): each file learnt from its first 400 rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.bench.quality import ours
from tests.bench.quality.alarms import OURS, adaptations
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope, flat
from tests.bench.quality.data import Labels, Library, Rows
from tests.bench.quality.protocols import standardised
from tests.bench.quality.windowed import CLOSED, SERIES_PEERS

TRAINING_ROWS = 400
RATE = 0.01
PEERS = (*CLOSED, "KNN (k = 5)", "KNN (k = 5) over 10 rows")
QUICK_STEP = 7


def rig(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every file, with the first seed."""
    for data in library.rigs()[:: QUICK_STEP if scope.quick else 1]:
        methods = [*(OURS if scope.wants(AESTREAM) else ()), *filter(scope.wants, PEERS)]
        yield from (Cell("rig", data, "", scope.seeds[0], method) for method in methods)


def measure_rig(cell: Cell, library: Library) -> Figures:
    """Count rows by what they are and whether they are flagged: they are pooled over files."""
    rows, label, times = library.rig(cell.data)
    label = label[TRAINING_ROWS:]
    return flat(
        {
            name: {
                "hits": int((flags & label).sum()),
                "false": int((flags & ~label).sum()),
                "missed": int((~flags & label).sum()),
                "quiet": int((~flags & ~label).sum()),
            }
            for name, flags in _flags(cell, rows, times).items()
        }
    )


def _flags(cell: Cell, rows: Rows, times: Rows) -> dict[str, Labels]:
    """Flags (m,) of the rows to judge, at 1 % by the training rows alone."""
    train, test = rows[:TRAINING_ROWS], rows[TRAINING_ROWS:]
    if cell.method in SERIES_PEERS:
        split = standardised(train, test, np.zeros(0, np.bool_))
        peer = SERIES_PEERS[cell.method](cell.seed).fit(split.train)
        score = peer.score(np.concatenate([split.train, split.test]))
        return {cell.method: score[TRAINING_ROWS:] > np.quantile(score[:TRAINING_ROWS], 1 - RATE)}
    options = {"false_alarm_rate": RATE, "seed": cell.seed, **OURS[cell.method]}
    detector = ours.learnt(train, times=times[:TRAINING_ROWS], **options)
    judged = adaptations(cell.method, detector, test, times[TRAINING_ROWS:])
    return {name: each.flags for name, each in judged.items()}
