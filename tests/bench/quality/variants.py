"""aestream without each of its parts, and with other values of its constants: ranking, after half of the training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from tests.bench.quality import ours, series, tabular
from tests.bench.quality.ablation import OVERRIDES, WINDOWED, Override
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.constants import OTHER_VALUES
from tests.bench.quality.data import Library
from tests.bench.quality.protocols import PROTOCOLS

SERVERS = ("asd", "smd")
# One set of so many: a fit for each variant and set is most of a run's time. The quick look takes fewer.
STEP, CONSTANTS_STEP, QUICK_STEP = 2, 4, 30
# For the same reason variants are compared after half the training, which ranks records nearly as well as all of it.
STEPS = 400


def ablation(library: Library, scope: Scope) -> Iterator[Cell]:
    """Without each part: tables by both protocols."""
    step = QUICK_STEP if scope.quick else STEP
    yield from _variants("ablation", OVERRIDES, scope, library.tables()[::step], PROTOCOLS)


def windows(library: Library, scope: Scope) -> Iterator[Cell]:
    """Without each part of what judges windows: servers."""
    names = [name for folder in SERVERS for name in library.names(folder)]
    yield from _variants("windows", WINDOWED, scope, names[:: QUICK_STEP if scope.quick else 1], [""])


def constants(library: Library, scope: Scope) -> Iterator[Cell]:
    """With other values of the constants: tables."""
    step = QUICK_STEP if scope.quick else CONSTANTS_STEP
    return _variants("constants", OTHER_VALUES, scope, library.tables()[::step], PROTOCOLS)


def _variants(
    part: str, overrides: Iterable[str], scope: Scope, sets: Sequence[str], protocols: Iterable[str]
) -> Iterator[Cell]:
    """As it is (no method) and with each override; with the first seed alone."""
    if scope.wants(AESTREAM):
        for data, protocol, name in itertools.product(sets, protocols, ("", *overrides)):
            yield Cell(part, data, protocol, scope.seeds[0], name)


def measure(cell: Cell, library: Library) -> Figures:
    """AUROC and AUPRC, and of series what is found and flagged as well."""
    known = WINDOWED if cell.part == "windows" else OVERRIDES | OTHER_VALUES
    override = known[cell.method] if cell.method else Override("")
    with override.applied() as options:
        if not cell.protocol:
            return series.measure_series(cell, library, steps=STEPS, **options)
        return tabular.ranked(ours.Ours(seed=cell.seed, steps=STEPS, **options), tabular.split(cell, library))
