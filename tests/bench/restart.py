"""What a restart costs with and without the state topic: the plot in docs/time.md, on the demo's recording.

    python -m tests.bench.restart [--output docs/restart.png]

One stream goes on from what is kept, as a worker does; the other one begins anew, as it would with nothing kept and
nothing to see again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter
from rich.console import Console

from aestream import Detector
from aestream.demo import dataset
from aestream.detector.detection import Detection
from aestream.types import Status

FIRST, RESTART, LAST = 1140, 1172, 1230  # of the records: a restart in the middle of the twelfth incident
INK, LINE, FLAG, WARMING, INCIDENT = "#22303c", "#7b93a8", "#c0392b", "#f0d9a8", "#cfe8d6"


def judged(detector: Detector, rows: np.ndarray, *, kept: bool) -> list[Detection]:
    """The records before and after the restart."""
    stream = detector.stream()
    before = stream.detect(rows[:RESTART])
    after = detector.stream()
    after.restore(stream.snapshot() if kept else detector.watch(1e9).snapshot())
    return [before, after.detect(rows[RESTART:])]


def draw(panel: Any, title: str, found: list[Detection], incident: np.ndarray) -> int:
    """One lane: scores, what is flagged, and what cannot be; return how many anomalies it has."""
    names = ("score", "anomaly", "status")
    score, flagged, status = (np.concatenate([getattr(one, name) for one in found]) for name in names)
    rows = np.arange(FIRST, LAST)
    panel.fill_between(rows, 0, 1, where=incident[rows], transform=panel.get_xaxis_transform(), color=INCIDENT, lw=0)
    panel.fill_between(
        rows, 0, 1, where=status[rows] == Status.WARMING, transform=panel.get_xaxis_transform(), color=WARMING, lw=0
    )
    panel.plot(rows, score[rows], color=LINE, lw=1.2)
    hot = rows[flagged[rows]]
    panel.plot(hot, score[hot], "o", color=FLAG, ms=4)
    panel.axhline(1.0, color=INK, lw=1, ls="--")
    panel.axvline(RESTART, color=INK, lw=1.5)
    panel.set_title(title, loc="left", color=INK, fontsize=10, fontweight="bold")
    panel.set_ylabel("score", color=INK)
    panel.set_yscale("log")
    panel.set_yticks([0.1, 1, 3], ["0.1", "1", "3"])
    panel.yaxis.set_minor_formatter(NullFormatter())
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    return len(hot)


def main() -> None:
    """Judge, draw, and say what the difference is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/restart.png"))
    options = parser.parse_args()
    recording = dataset.load(None)
    columns = [number for number, name in enumerate(recording.names) if "client" not in name]
    detector = Detector(false_alarm_rate=0.01).fit(recording.train[:, columns])
    rows = np.asarray(recording.test[:, columns], np.float64)
    figure = Figure(figsize=(11, 4.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    counts = [
        draw(panel, title, judged(detector, rows, kept=kept), recording.label)
        for panel, title, kept in (
            (panels[0], "kept: as if there had been no restart", True),
            (
                panels[1],
                "nothing kept: the first records cannot be judged, and the threshold is that of training",
                False,
            ),
        )
    ]
    panels[1].set_xlabel("record", color=INK)
    legend = [
        Patch(color=INCIDENT, label="incident"),
        Patch(color=WARMING, label="warming"),
        Patch(color=FLAG, label="flagged"),
        Patch(color=INK, label="restart"),
    ]
    figure.legend(handles=legend, loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    figure.savefig(options.output)
    Console().print(f"{counts[0]} records flagged with what is kept, {counts[1]} without; {options.output}")


if __name__ == "__main__":
    main()
