"""From cells to the document that the page shows: means, wins and differences, a list of rows for each table."""

from __future__ import annotations

import os
import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

import aestream
from tests.bench.quality.ablation import OVERRIDES, WINDOWED
from tests.bench.quality.cells import Cell
from tests.bench.quality.constants import OTHER_VALUES
from tests.bench.quality.grouping import Measured, Row, by_set, grouped, mean
from tests.bench.quality.parts import PARTS
from tests.bench.quality.peers import DETECTORS
from tests.bench.quality.results import Results
from tests.bench.quality.series_summary import SERIES_TABLES

LIBRARIES = ("numpy", "torch", "scikit-learn", "pyod")
DIGITS = 4


def document(cells: Sequence[Cell], results: Results, *, command: str) -> dict[str, Any]:
    """Return everything that the page shows, as JSON types."""
    measured = {cell: results[cell] for cell in cells if cell in results}
    made: dict[str, Any] = {
        "command": command,
        "seeds": sorted({cell.seed for cell in measured}),
        "versions": _versions(),
        "cells": len(cells),
        "measured": len(measured),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {sys.platform}",
    }
    for part in PARTS:
        own = {cell: figures for cell, figures in measured.items() if cell.part == part}
        if own:
            made[part] = _rounded(_TABLES[part](own))
    return made


def _versions() -> dict[str, str]:
    ours = {"aestream": aestream.__version__, "python": platform.python_version()}
    installed = {
        name: metadata.version(name) for name in LIBRARIES if find_spec(name.replace("scikit-learn", "sklearn"))
    }
    return ours | installed


def _tabular(measured: Measured) -> list[Row]:
    """A row for each folder, protocol and detector; and for each set its AUROC and AUPRC by detector."""
    rows = []
    for (folder, protocol), group in grouped(measured, lambda cell: (cell.folder, cell.protocol)).items():
        best = _winners(group)
        for detector in DETECTORS:
            own = [figures for cell, figures in group.items() if cell.method == detector]
            if not own:
                continue
            rows.append(
                {
                    "folder": folder,
                    "protocol": protocol,
                    "detector": detector,
                    "auroc": mean(own, "auroc"),
                    "auprc": mean(own, "auprc"),
                    "wins": sum(detector in winners for winners in best.values()),
                    "sets": len({cell.data for cell in group if cell.method == detector}),
                    "all_sets": len(best),
                    "auprc_of": by_set(group, detector, "auprc"),
                    "auroc_of": by_set(group, detector, "auroc"),
                }
            )
    return rows


def _winners(group: Measured) -> dict[str, set[str]]:
    """The detectors with the best AUPRC of each set, mean over seeds; a tie has several."""
    means: dict[str, dict[str, float]] = defaultdict(dict)
    for detector in DETECTORS:
        for data, value in by_set(group, detector, "auprc").items():
            means[data][detector] = value
    return {data: {name for name in of if of[name] == max(of.values())} for data, of in means.items()}


def _calibration(measured: Measured) -> list[Row]:
    """A row for each set; `achieved` by requested rate."""
    rows = []
    for (data,), group in grouped(measured, lambda cell: (cell.data,)).items():
        by_rate = grouped(group, lambda cell: (cell.protocol,))
        any_figures = next(iter(group.values()))
        achieved = {rate: mean(own.values(), "achieved") for (rate,), own in by_rate.items()}
        rows.append({"data": data, "train": any_figures["train"], "rows": any_figures["rows"], "achieved": achieved})
    return rows


def _uses(measured: Measured) -> list[Row]:
    """A row for each set; `value` by method."""
    rows = []
    for (data,), group in grouped(measured, lambda cell: (cell.data,)).items():
        values = {cell.method: figures.get("explained", figures.get("left")) for cell, figures in group.items()}
        sizes = {int(figures["latent_size"]) for figures in group.values() if "latent_size" in figures}
        rows.append({"data": data, "value": values, **({"latent_size": sizes.pop()} if sizes else {})})
    return rows


def _ablation(measured: Measured) -> list[Row]:
    """A row for each folder, protocol and override: the means with it, how much less they are, and on how many sets."""
    rows, overrides = [], OVERRIDES | OTHER_VALUES | WINDOWED
    for (folder, protocol), group in grouped(measured, lambda cell: (cell.folder, cell.protocol)).items():
        whole = {cell.data: figures for cell, figures in group.items() if not cell.method}
        for part in ("", *overrides):
            own = {cell.data: figures for cell, figures in group.items() if cell.method == part}
            common = sorted(own.keys() & whole.keys())
            if not common:
                continue
            instead = overrides[part].says if part else ""
            row: Row = {"folder": folder, "protocol": protocol, "part": part, "instead": instead, "sets": len(common)}
            for name in ("auroc", "auprc"):
                row[name] = mean([own[data] for data in common], name)
                lost = [whole[data][name] - own[data][name] for data in common]
                row[f"{name}_lost"] = float(np.mean(lost))
                row[f"{name}_error"] = float(np.std(lost, ddof=1) / len(lost) ** 0.5) if len(lost) > 1 else np.nan
            if all("found" in own[data] for data in common):
                row["found"] = sum(own[data]["found"] for data in common)
            row["helps"] = sum(whole[data]["auprc"] > own[data]["auprc"] for data in common)
            row["hurts"] = sum(whole[data]["auprc"] < own[data]["auprc"] for data in common)
            rows.append(row)
    return rows


def _cost(measured: Measured) -> list[Row]:
    return [{"size": cell.data.removeprefix("made/"), **figures} for cell, figures in measured.items()]


_TABLES = {
    "tabular": _tabular,
    "calibration": _calibration,
    "reduction": _uses,
    "denoising": _uses,
    "ablation": _ablation,
    "constants": _ablation,
    "windows": _ablation,
    "cost": _cost,
    **SERIES_TABLES,
}


def _rounded(value: Any) -> Any:
    """So that the file changes no more than the figures do; what is not a number becomes null."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return value
