"""Alarms under drift: the achieved rate, incidents found and how soon, episodes on normal data; and a bad day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aestream.demo.dataset import Recording
from aestream.demo.incidents import Incident
from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import DEMO, Labels, Library, Rows
from tests.bench.quality.series import QUICK_STEP, Stretches, judged_by_peer
from tests.bench.quality.windowed import CLOSED

# By protocol: what the detector is asked for. None is its default: 0.001, or the lowest that the rows support.
RATES: dict[str, float | None] = {"0.01": 0.01, "0.001": None}
# aestream, and what else its user can choose.
SETUPS: dict[str, dict[str, Any]] = {
    AESTREAM: {},
    f"{AESTREAM}, adaptation off": {"adaptation": "off"},
    f"{AESTREAM}, adaptation held": {"adaptation": "held"},
    f"{AESTREAM}, rows alone": {"window": 1},
}


def alarms(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every recording at both rates, with the first seed: aestream's setups, and the closed forms."""
    for data in library.recordings()[:: QUICK_STEP if scope.quick else 1]:
        for rate in list(RATES)[: 1 if scope.quick else None]:
            methods = [*(SETUPS if scope.wants(AESTREAM) else ()), *filter(scope.wants, CLOSED)]
            yield from (Cell("alarms", data, rate, scope.seeds[0], method) for method in methods)


def bad_day(_library: Library, scope: Scope) -> Iterator[Cell]:
    """The demo's recording."""
    if scope.wants(AESTREAM):
        for rate in list(RATES)[: 1 if scope.quick else None]:
            yield from (Cell("bad day", DEMO, rate, scope.seeds[0], setup) for setup in SETUPS)


def measure_alarms(cell: Cell, library: Library) -> Figures:
    """Count what was flagged, and what an oracle flags: a threshold that the test's normal rows set."""
    recording, rate = library.recording(cell.data), float(cell.protocol)
    error, flags = _judged(cell, recording)
    level = np.quantile(error[~recording.label], 1 - rate, method="higher")
    counted = count(recording.label, recording.incidents, flags)
    oracle = count(recording.label, recording.incidents, error > level)
    return {
        **counted,
        **{f"oracle_{name}": value for name, value in oracle.items()},
        "times": counted["flagged"] / rate,
        "normal": int((~recording.label).sum()),
        "incidents": len(recording.incidents),
    }


def measure_bad_day(cell: Cell, library: Library) -> Figures:
    """Count faults found and calm rows flagged, and rank the rows."""
    recording = library.recording(cell.data)
    error, flags = _judged(cell, recording)
    return {
        **count(recording.label, recording.incidents, flags),
        **measures.ranking(recording.label, error),
        "calm": float(flags[measures.calm(recording.label)].mean()),
        "incidents": len(recording.incidents),
    }


def count(label: Labels, incidents: tuple[Incident, ...], flags: Labels) -> Figures:
    """What alarms (n,) do: the share of normal rows flagged, incidents found and how soon, episodes on normal rows."""
    return {
        "flagged": float(flags[~label].mean()),
        "found": measures.found(incidents, flags),
        "delay": measures.delay(incidents, flags),
        "episodes": measures.episodes(flags & ~label),
    }


def _judged(cell: Cell, recording: Recording) -> tuple[Rows, Labels]:
    """Errors and flags (m,) of the test rows; a peer's threshold is a quantile of its training scores."""
    if cell.method in CLOSED:
        train, test = judged_by_peer(cell, recording)
        return test, test > np.quantile(train, 1 - float(cell.protocol))
    part = Stretches.of(cell.data, recording)
    options = {"false_alarm_rate": RATES[cell.protocol], "seed": cell.seed, **SETUPS[cell.method]}
    detector = ours.learnt(part.train, times=part.train_times, **options)
    judged = ours.judge(detector, part.test, times=part.test_times)
    return judged.error, judged.flags
