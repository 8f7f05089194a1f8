"""Tables of labelled rows: ranking by every detector and by aestream without each part, and the false-alarm rate."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.quality import measures, ours
from tests.bench.quality.ablation import OVERRIDES, Override
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library
from tests.bench.quality.peers import DETECTORS, Peer
from tests.bench.quality.protocols import PROTOCOLS, Split

RATES = ("0.01", "0.001")
QUICK_DETECTORS = (AESTREAM, "KNN (k = 5)", "Isolation Forest")
# A false-alarm rate is told by so many held-out normal rows or more.
MANY_ROWS = 500
# One set of so many: a fit for each part and set is most of a run's time. The quick look takes fewer.
ABLATION_STEP, QUICK_ABLATION_STEP, QUICK_CALIBRATION_STEP = 2, 30, 3
# For the same reason the parts are compared after half the training, which ranks records nearly as well as all of it.
ABLATION_STEPS = 400


def tabular(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every detector on every set by both protocols."""
    few = scope.quick and scope.methods is None
    detectors = [name for name in (QUICK_DETECTORS if few else DETECTORS) if scope.wants(name)]
    for data in library.tables():
        for seed in scope.seeds:
            for protocol in PROTOCOLS:
                yield from (Cell("tabular", data, protocol, seed, name) for name in detectors)


def ablation(library: Library, scope: Scope) -> Iterator[Cell]:
    """aestream without each part on every second set by both protocols, with the first seed alone."""
    if not scope.wants(AESTREAM):
        return
    for data in library.tables()[:: QUICK_ABLATION_STEP if scope.quick else ABLATION_STEP]:
        for protocol in PROTOCOLS:
            yield from (Cell("ablation", data, protocol, scope.seeds[0], name) for name in ("", *OVERRIDES))


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
    return _ranked(DETECTORS[cell.method](cell.seed), _split(cell, library))


def measure_ablation(cell: Cell, library: Library) -> Figures:
    """The same of aestream without one part, or with all of them."""
    split = _split(cell, library)
    part = OVERRIDES[cell.method] if cell.method else Override("")
    with part.applied() as options:
        return _ranked(ours.Ours(seed=cell.seed, steps=ABLATION_STEPS, **options), split)


def measure_calibration(cell: Cell, library: Library) -> Figures:
    """The share of held-out normal rows that are flagged."""
    rows, label = library.table(cell.data)
    split = PROTOCOLS["novelty"](rows, label, cell.seed)
    _, judged = ours.judge(split.train, split.test[~split.label], float(cell.protocol), cell.seed)
    return {"achieved": float(judged.flags.mean()), "rows": len(judged.flags), "train": len(split.train)}


def _split(cell: Cell, library: Library) -> Split:
    return PROTOCOLS[cell.protocol](*library.table(cell.data), cell.seed)


def _ranked(peer: Peer, split: Split) -> Figures:
    return measures.ranking(split.label, peer.fit(split.train).score(split.test))
