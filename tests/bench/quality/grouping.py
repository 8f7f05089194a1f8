"""Cells by what they have in common, and means over what they do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from tests.bench.quality.cells import Cell, Figures

Row: TypeAlias = dict[str, Any]
Measured: TypeAlias = dict[Cell, Figures]


def grouped(measured: Measured, key: Callable[[Cell], tuple[str, ...]]) -> dict[tuple[str, ...], Measured]:
    """The cells of each key, in the order in which they were planned."""
    groups: dict[tuple[str, ...], Measured] = defaultdict(dict)
    for cell, figures in measured.items():
        groups[key(cell)][cell] = figures
    return dict(groups)


def by_set(group: Measured, detector: str, name: str) -> dict[str, float]:
    """The mean over seeds for each set that the detector was measured on."""
    found: dict[str, list[float]] = defaultdict(list)
    for cell, figures in group.items():
        if cell.method == detector:
            found[cell.data].append(figures[name])
    return {data: float(np.mean(values)) for data, values in found.items()}


def mean(figures: Iterable[Figures], name: str) -> float:
    """The mean of one figure."""
    return float(np.mean([each[name] for each in figures]))
