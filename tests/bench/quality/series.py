"""Time series, learnt from their training half and judged row by row: ranking, incidents, false alarms, root causes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aestream.demo.dataset import Recording
from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import SERIES, Library, Rows
from tests.bench.quality.protocols import standardised
from tests.bench.quality.vus import season, vus_pr
from tests.bench.quality.windowed import CLOSED, SERIES_PEERS

RATE = 0.01
# HitRate at 100 % and 150 % of the number of causes.
SHARES = (1.0, 1.5)
QUICK_STEP = 6
# Where one seed is enough: many short series.
ONE_SEED = "nasa_msl"
# Training rows that a peer sees before the first row to judge, so that its windows are full.
BEFORE = 20


@dataclass(frozen=True, slots=True)
class Stretches:
    """A recording's training rows (n, d) and test rows (m, d) with their times in seconds, where they are known."""

    train: Rows
    test: Rows
    train_times: Rows | None
    test_times: Rows | None

    @classmethod
    def of(cls, name: str, recording: Recording) -> Stretches:
        """Number the times from the first training row; the test rows follow without a gap."""
        train, test = (np.asarray(part, np.float64) for part in (recording.train, recording.test))
        interval = SERIES.get(name.partition("/")[0])
        if interval is None:
            return cls(train, test, None, None)
        times = interval * np.arange(len(train) + len(test), dtype=np.float64)
        return cls(train, test, times[: len(train)], times[len(train) :])


def series(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every recording: aestream with every seed, peers with the first one."""
    peers = CLOSED if scope.quick and scope.methods is None else SERIES_PEERS
    for data in library.recordings()[:: QUICK_STEP if scope.quick else 1]:
        if scope.wants(AESTREAM):
            seeds = scope.seeds[: 1 if data.startswith(ONE_SEED) else None]
            yield from (Cell("series", data, "", seed, AESTREAM) for seed in seeds)
        yield from (Cell("series", data, "", scope.seeds[0], name) for name in peers if scope.wants(name))


def measure_series(cell: Cell, library: Library, **options: Any) -> Figures:
    """Rank rows; of aestream also find incidents, count normal rows flagged, and look for causes among what it blames.

    With the detector's defaults but for `options`.
    """
    recording = library.recording(cell.data)
    if cell.method in SERIES_PEERS:
        return _ranked(recording, judged_by_peer(cell, recording).test)
    part = Stretches.of(cell.data, recording)
    detector = ours.learnt(part.train, times=part.train_times, false_alarm_rate=RATE, seed=cell.seed, **options)
    judged = ours.judge(detector, part.test, times=part.test_times)
    return {
        **_ranked(recording, judged.error),
        "incidents": len(recording.incidents),
        "found": measures.found(recording.incidents, judged.flags),
        "false_alarms": float(judged.flags[~recording.label].mean()),
        **_causes_found(detector, part, recording),
    }


@dataclass(frozen=True, slots=True)
class PeerScores:
    """Scores of a peer: of the test rows (m,), and if asked for of the training rows (n,)."""

    test: Rows
    train: Rows


def judged_by_peer(cell: Cell, recording: Recording, *, training: bool = False) -> PeerScores:
    """Fit a peer on the standardised training rows; the windows of the first test rows reach back to these."""
    train, test = (np.asarray(part, np.float64) for part in (recording.train, recording.test))
    rows = standardised(train, test, recording.label)
    peer = SERIES_PEERS[cell.method](cell.seed).fit(rows.train)
    scores = peer.score(np.concatenate([rows.train[-BEFORE:], rows.test]))[BEFORE:]
    return PeerScores(scores, peer.score(rows.train) if training else np.empty(0))


def _ranked(recording: Recording, error: Rows) -> Figures:
    longest = season(np.asarray(recording.test[:, 0], np.float64))
    return measures.ranking(recording.label, error) | {"vus_pr": vus_pr(recording.label, error, longest)}


def _causes_found(detector: Any, part: Stretches, recording: Recording) -> Figures:
    """HitRates, and what chance would hit: means over the incidents with known causes."""
    known = [incident for incident in recording.incidents if incident.causes]
    if not known:
        return {}
    chosen = np.zeros(len(part.test), np.bool_)
    for incident in known:
        chosen[incident.rows] = True
    weight, hits, chances = ours.blame(detector, part.test, chosen, part.test_times), [], []
    for incident in known:
        causes = [recording.names.index(name) for name in incident.causes]
        summed = weight[incident.rows].sum(axis=0)
        hits.append([measures.hit_rate(causes, summed, share) for share in SHARES])
        chances.append([measures.hit_chance(len(causes), len(recording.names), share) for share in SHARES])
    hit, chance = np.mean([hits, chances], axis=1).tolist()
    return {"hit100": hit[0], "hit150": hit[1], "chance100": chance[0], "chance150": chance[1]}
