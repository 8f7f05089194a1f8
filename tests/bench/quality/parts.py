"""The parts of the page in their order: which cells each has, and how one is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.quality import alarms, cost, entities, rig, series, storm, tabular, uses, variants
from tests.bench.quality.cells import Cell, Figures, Scope
from tests.bench.quality.data import Library
from tests.bench.quality.peers import DETECTORS
from tests.bench.quality.windowed import SERIES_PEERS


@dataclass(frozen=True, slots=True)
class Part:
    """One table: `plan` lists its cells, `measure` fills one. `alone`: nothing else may run beside it."""

    plan: Callable[[Library, Scope], Iterator[Cell]]
    measure: Callable[[Cell, Library], Figures]
    alone: bool = False


PARTS: dict[str, Part] = {
    "tabular": Part(tabular.tabular, tabular.measure_tabular),
    "calibration": Part(tabular.calibration, tabular.measure_calibration),
    "series": Part(series.series, series.measure_series),
    "alarms": Part(alarms.alarms, alarms.measure_alarms),
    "bad day": Part(alarms.bad_day, alarms.measure_bad_day),
    "storm": Part(storm.storm, storm.measure_storm),
    "entities": Part(entities.entities, entities.measure_entities),
    "rig": Part(rig.rig, rig.measure_rig),
    "windows": Part(variants.windows, variants.measure),
    "reduction": Part(uses.reduction, uses.measure_reduction),
    "denoising": Part(uses.denoising, uses.measure_denoising),
    "ablation": Part(variants.ablation, variants.measure),
    "constants": Part(variants.constants, variants.measure),
    "cost": Part(cost.cost, cost.measure_cost, alone=True),
}

# Whatever is measured in some part, in the order of the tables.
METHODS = tuple(dict.fromkeys((*DETECTORS, *SERIES_PEERS, *uses.DENOISING)))
