"""Alarms under drift: the achieved rate, incidents found and how soon, episodes on normal data; and a bad day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from aestream import Detector
from aestream.demo.dataset import Recording
from aestream.demo.incidents import Incident
from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope, flat
from tests.bench.quality.data import DEMO, Labels, Library, Rows
from tests.bench.quality.ours import Judgement
from tests.bench.quality.series import QUICK_STEP, Stretches, judged_by_peer
from tests.bench.quality.windowed import CLOSED

# By protocol: what the detector is asked for. None is its default: 0.001, or the lowest that the rows support.
RATES: dict[str, float | None] = {"0.01": 0.01, "0.001": None}
# aestream by the options of its fit, and what its user can choose besides.
OURS: dict[str, dict[str, Any]] = {AESTREAM: {}, f"{AESTREAM}, rows alone": {"window": 1}}
ADAPTATIONS: tuple[Literal["off", "held"], ...] = ("off", "held")
ORACLE = "oracle threshold"


def alarms(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every recording at both rates, with the first seed: aestream and the closed forms."""
    for data in library.recordings()[:: QUICK_STEP if scope.quick else 1]:
        for rate in list(RATES)[: 1 if scope.quick else None]:
            methods = [*(OURS if scope.wants(AESTREAM) else ()), *filter(scope.wants, CLOSED)]
            yield from (Cell("alarms", data, rate, scope.seeds[0], method) for method in methods)


def bad_day(_library: Library, scope: Scope) -> Iterator[Cell]:
    """The demo's recording."""
    if scope.wants(AESTREAM):
        for rate in list(RATES)[: 1 if scope.quick else None]:
            yield from (Cell("bad day", DEMO, rate, scope.seeds[0], method) for method in OURS)


def measure_alarms(cell: Cell, library: Library) -> Figures:
    """Count what was flagged, and what an oracle flags: a threshold that the test's normal rows set."""
    recording, rate = library.recording(cell.data), float(cell.protocol)
    judged = dict(_judged(cell, recording))
    if cell.method == AESTREAM:
        error = judged[AESTREAM].error
        level = np.quantile(error[~recording.label], 1 - rate, method="higher")
        judged[ORACLE] = Judgement(error, error > level)
    normal = int((~recording.label).sum())
    counted = {name: count(recording.label, recording.incidents, each.flags) for name, each in judged.items()}
    return flat({name: {**own, "times": own["flagged"] / rate, "normal": normal} for name, own in counted.items()})


def measure_bad_day(cell: Cell, library: Library) -> Figures:
    """Count faults found and calm rows flagged, and rank the rows."""
    recording = library.recording(cell.data)
    return flat(
        {
            name: {
                **count(recording.label, recording.incidents, judged.flags),
                **measures.ranking(recording.label, judged.error),
            }
            for name, judged in _judged(cell, recording).items()
        }
    )


def count(label: Labels, incidents: tuple[Incident, ...], flags: Labels) -> Figures:
    """What alarms (n,) do: incidents found and how soon, normal and calm rows flagged, episodes on normal rows."""
    return {
        "incidents": len(incidents),
        "found": measures.found(incidents, flags),
        "delay": measures.delay(incidents, flags),
        "flagged": float(flags[~label].mean()),
        "calm": float(flags[measures.calm(label)].mean()),
        "episodes": measures.episodes(flags & ~label),
    }


def adaptations(method: str, detector: Detector, rows: Rows, times: Rows | None = None) -> dict[str, Judgement]:
    """What is flagged of (m, d) rows, by the name of the setup: as it is, and with other adaptations."""
    judged = {method: ours.judge(detector, rows, times=times)}
    if method == AESTREAM:
        for adaptation in ADAPTATIONS:
            other = ours.adapting(detector, adaptation)
            judged[f"{AESTREAM}, adaptation {adaptation}"] = ours.judge(other, rows, times=times)
    return judged


def _judged(cell: Cell, recording: Recording) -> Mapping[str, Judgement]:
    """Errors and flags (m,) of the test rows; a peer's threshold is a quantile of its training scores."""
    if cell.method in CLOSED:
        score = judged_by_peer(cell, recording, training=True)
        level = np.quantile(score.train, 1 - float(cell.protocol))
        return {cell.method: Judgement(score.test, score.test > level)}
    part, rate = Stretches.of(cell.data, recording), RATES[cell.protocol]
    options = {"false_alarm_rate": rate, "seed": cell.seed, **OURS[cell.method]}
    detector = ours.learnt(part.train, times=part.train_times, **options)
    return adaptations(cell.method, detector, part.test, part.test_times)
