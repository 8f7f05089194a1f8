"""From cells of time series to the rows of their tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from tests.bench.quality.cells import by_name
from tests.bench.quality.grouping import Measured, Row, grouped, mean

# An achieved false-alarm rate counts as the requested one within these factors of it.
NEAR = (0.3, 3.0)
PER_ROWS = 10_000


def _series(measured: Measured) -> list[Row]:
    """A row for each recording and detector, the mean over seeds."""
    return [
        {"data": data, "detector": method, **{name: mean(group.values(), name) for name in next(iter(group.values()))}}
        for (data, method), group in grouped(measured, lambda cell: (cell.data, cell.method)).items()
    ]


def _alarms(measured: Measured) -> list[Row]:
    """A row for each rate and setup over all series."""
    rates = dict.fromkeys(cell.protocol for cell in measured)
    return [
        {"rate": rate, "method": name, **_over_series(group)}
        for rate in sorted(rates, key=float, reverse=True)
        for name, group in _setups({cell: figures for cell, figures in measured.items() if cell.protocol == rate})
    ]


def _setups(measured: Measured) -> Iterable[tuple[str, Measured]]:
    """The figures of each setup that was measured in these cells."""
    groups: dict[str, Measured] = defaultdict(dict)
    for cell, figures in measured.items():
        for name, own in by_name(figures).items():
            groups[name][cell] = own
    return groups.items()


def _over_series(group: Measured) -> Row:
    """Series near the requested rate and the worst, incidents found by folder and how soon, episodes on normal rows."""
    figures = list(group.values())
    times = {cell.data: figures["times"] for cell, figures in group.items()}
    folders = dict.fromkeys(cell.folder for cell in group)
    found = sum(each["found"] for each in figures)
    late = sum(each["delay"] * each["found"] for each in figures if each["found"])
    return {
        "series": len(times),
        "near": sum(NEAR[0] <= value <= NEAR[1] for value in times.values()),
        "worst": max(times.values()),
        "found": {folder: _total(group, folder, "found") for folder in folders},
        "incidents": {folder: _total(group, folder, "incidents") for folder in folders},
        "delay": late / found if found else np.nan,
        "episodes": PER_ROWS * sum(each["episodes"] for each in figures) / sum(each["normal"] for each in figures),
        "times_of": times,
        "found_of": {cell.data: figures["found"] for cell, figures in group.items()},
    }


def _total(group: Measured, folder: str, name: str) -> float:
    return sum(figures[name] for cell, figures in group.items() if cell.folder == folder)


def _by_setup(measured: Measured) -> list[Row]:
    """A row for each data set, setup and rate."""
    return [
        {"data": cell.data, "method": name, "rate": cell.protocol, **own}
        for cell, figures in measured.items()
        for name, own in by_name(figures).items()
    ]


def _entities(measured: Measured) -> list[Row]:
    """A row for each server; figures by how it was learnt."""
    return [
        {"data": data, "learnt": {cell.protocol: figures for cell, figures in group.items()}}
        for (data,), group in grouped(measured, lambda cell: (cell.data,)).items()
    ]


def _rig(measured: Measured) -> list[Row]:
    """A row for each setup, rows pooled over files: F1, the share of normal rows flagged, of anomalies missed."""
    rows = []
    for name, group in _setups(measured):
        hits, false, missed, quiet = (
            sum(each[what] for each in group.values()) for what in ("hits", "false", "missed", "quiet")
        )
        rows.append(
            {
                "method": name,
                "files": len(group),
                "f1": 2 * hits / (2 * hits + false + missed),
                "false_alarms": false / (false + quiet),
                "missed": missed / (hits + missed),
            }
        )
    return rows


SERIES_TABLES: dict[str, Callable[[Measured], list[Row]]] = {
    "series": _series,
    "alarms": _alarms,
    "bad day": _by_setup,
    "storm": _by_setup,
    "entities": _entities,
    "rig": _rig,
}
