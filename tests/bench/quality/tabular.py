"""Tables of labelled rows: ranking by every detector, and the false-alarm rate."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library
from tests.bench.quality.peers import DETECTORS, Peer
from tests.bench.quality.protocols import PROTOCOLS, Split

RATES = ("0.01", "0.001")
QUICK_DETECTORS = (AESTREAM, "KNN (k = 5)", "Isolation Forest")
# A false-alarm rate is told by so many held-out normal rows or more.
MANY_ROWS = 500
# One set of so many for the quick look.
QUICK_CALIBRATION_STEP = 3


def tabular(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every detector on every set by both protocols."""
    few = scope.quick and scope.methods is None
    detectors = [name for name in (QUICK_DETECTORS if few else DETECTORS) if scope.wants(name)]
    for data in library.tables():
        for seed in scope.seeds:
            for protocol in PROTOCOLS:
                yield from (Cell("tabular", data, protocol, seed, name) for name in detectors)


def calibration(library: Library, scope: Scope) -> Iterator[Cell]:
    """The false-alarm rate on held-out normal rows, of the sets that have enough of them."""
    if not scope.wants(AESTREAM):
        return
    large = [data for data in library.tables() if library.normal_rows(data) >= 2 * MANY_ROWS]
    for data in large[:: QUICK_CALIBRATION_STEP if scope.quick else 1]:
        for seed in scope.seeds:
            for rate in RATES[:1] if scope.quick else RATES:
                yield Cell("calibration", data, rate, seed, AESTREAM)


def measure_tabular(cell: Cell, library: Library) -> Figures:
    """AUROC and AUPRC of a detector."""
    return ranked(DETECTORS[cell.method](cell.seed), split(cell, library))


def measure_calibration(cell: Cell, library: Library) -> Figures:
    """The share of held-out normal rows that are flagged."""
    rows, label = library.table(cell.data)
    novelty = PROTOCOLS["novelty"](rows, label, cell.seed)
    detector = ours.learnt(novelty.train, false_alarm_rate=float(cell.protocol), seed=cell.seed)
    judged = ours.judge(detector, novelty.test[~novelty.label])
    return {"achieved": float(judged.flags.mean()), "rows": len(judged.flags), "train": len(novelty.train)}


def split(cell: Cell, library: Library) -> Split:
    """Return the rows of a cell, by its protocol and seed."""
    return PROTOCOLS[cell.protocol](*library.table(cell.data), cell.seed)


def ranked(peer: Peer, rows: Split) -> Figures:
    """AUROC and AUPRC of one detector."""
    return measures.ranking(rows.label, peer.fit(rows.train).score(rows.test))
