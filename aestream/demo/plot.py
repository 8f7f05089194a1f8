"""The plot of a run: scores over time, flagged records, labelled incidents, and the most telling features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from aestream.demo.dataset import Recording
from aestream.demo.results import Results
from aestream.demo.verdict import Finding, Summary
from aestream.errors import DataError

_FEATURES = 3
_MOST_NAMES = 16  # more names would overlap: then only the numbers are shown
_NAME_LETTERS = 30
_CROWDED = 0.9  # of the width: the name of an incident beyond this is in the margin
_SLIMMEST = 0.002  # of the width: a shorter incident would be invisible
_INK, _LINE, _FLAG, _FALSE, _EXPECTED = "#22303c", "#7b93a8", "#c0392b", "#e39b1f", "#1f6fb2"
_FOUND, _MISSED = "#5bb57a", "#e2574c"


def draw(
    path: Path, recording: Recording, results: Results, summary: Summary, findings: Sequence[Finding], *, model: str
) -> None:
    """Write the plot as PNG. Raises DataError when the file cannot be written."""
    features = _telling(results, findings)
    figure = Figure(figsize=(14, 6.2 + 1.35 * len(features)), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    heights = [4.2] + [1.2] * len(features)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _scores(panels[0], recording, results, findings)
    for panel, name in zip(panels[1:], features, strict=True):
        _feature(panel, name, recording, results, findings)
    for panel in panels:
        _tidy(panel)
    panels[-1].set_xlabel("record of the test part", color=_INK)
    panels[-1].set_xlim(0, len(recording.test))
    # a slanted name needs room on its right
    named = 0 < len(findings) <= _MOST_NAMES and any(finding.incident.name for finding in findings)
    figure.suptitle(_title(recording, summary), x=0.065, y=0.985, ha="left", fontsize=15, weight="bold", color=_INK)
    figure.text(0.065, 0.945, _subtitle(summary, model), ha="left", va="top", fontsize=10.5, color=_INK)
    figure.legend(
        handles=_legend(), loc="upper right", bbox_to_anchor=(0.985, 0.992), ncols=3, fontsize=8.5, frameon=False
    )
    right = 0.925 if named and findings[-1].incident.start > _CROWDED * len(recording.test) else 0.985
    figure.subplots_adjust(left=0.065, right=right, bottom=0.065, top=0.78 if named else 0.88, hspace=0.2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise DataError(f"--plot {path} cannot be written: {error.strerror}") from error


def _scores(panel: Any, recording: Recording, results: Results, findings: Sequence[Finding]) -> None:
    """Scores on a log axis, the threshold at 1, flagged records, and numbered incidents."""
    rows = np.arange(len(results.score))
    _shade(panel, findings, len(rows))
    known = results.score[~np.isnan(results.score)]
    floor = max(float(np.quantile(known, 0.001)), 1e-3) if len(known) else 0.1
    panel.plot(rows, np.maximum(results.score, floor), color=_LINE, linewidth=0.7, zorder=2)
    panel.axhline(1.0, color=_INK, linewidth=1.1, linestyle=(0, (5, 3)), zorder=3)
    for mask, colour, size in ((recording.label, _FLAG, 16), (~recording.label, _FALSE, 20)):
        chosen = results.flagged & mask
        panel.scatter(
            rows[chosen], results.score[chosen], s=size, color=colour, edgecolors="white", linewidths=0.4, zorder=4
        )
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    highest = float(known.max()) if len(known) else 1.0
    panel.set_ylim(floor * 0.8, max(highest, 2.0) * 1.5)
    panel.set_ylabel("score  (error / threshold)", color=_INK)
    _number(panel, findings, len(rows))


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=_LINE, label="score, observed value"),
        Line2D([], [], color=_INK, linestyle=(0, (5, 3)), label="threshold, from the training part"),
        _dot(_FLAG, "flagged, labelled"),
        _dot(_FALSE, "flagged, not labelled"),
        Patch(color=_FOUND, alpha=0.35, label="incident, found"),
        Patch(color=_MISSED, alpha=0.35, label="incident, missed"),
    ]


def _dot(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker="o", linestyle="", markersize=5, label=label)


def _feature(panel: Any, name: str, recording: Recording, results: Results, findings: Sequence[Finding]) -> None:
    """A feature as observed, and as the model expected it where it had a share in an anomaly."""
    values = recording.test[:, recording.names.index(name)]
    _shade(panel, findings, len(values))
    panel.plot(values, color=_LINE, linewidth=0.7, zorder=2)
    told = [(row, f) for row, score in results.anomalies.items() for f in score.features or () if f.name == name]
    rows = [row for row, _ in told]
    panel.vlines(rows, [f.observed for _, f in told], [f.expected for _, f in told], color=_EXPECTED, lw=0.6, alpha=0.5)
    panel.scatter(rows, [f.observed for _, f in told], s=9, color=_FLAG, zorder=4)
    panel.scatter(rows, [f.expected for _, f in told], s=9, color=_EXPECTED, zorder=4)
    panel.set_title(name, loc="left", fontsize=9.5, color=_INK, pad=3, weight="bold")
    panel.set_title("● observed", loc="center", fontsize=8.5, color=_FLAG, pad=3)
    panel.set_title("● expected by the model", loc="right", fontsize=8.5, color=_EXPECTED, pad=3)
    panel.margins(y=0.25)


def _shade(panel: Any, findings: Sequence[Finding], rows: int) -> None:
    for finding in findings:
        incident = finding.incident
        missing = max(_SLIMMEST * rows - (incident.end + 1 - incident.start), 0.0) / 2
        colour = _MISSED if finding.first_flagged is None else _FOUND
        panel.axvspan(
            incident.start - missing, incident.end + 1 + missing, color=colour, alpha=0.3, linewidth=0, zorder=1
        )


def _number(panel: Any, findings: Sequence[Finding], rows: int) -> None:
    """Write the incidents' numbers above the panel, with their names if there is room."""
    spelled = len(findings) <= _MOST_NAMES
    nearest = -np.inf
    lifted = False
    for number, finding in enumerate(findings, start=1):
        incident = finding.incident
        middle = (incident.start + incident.end) / 2
        name = incident.name[:_NAME_LETTERS] + ("…" if len(incident.name) > _NAME_LETTERS else "")
        text = f"{number} {name}" if spelled and name else str(number)
        slanted = bool(spelled and name)
        lifted = not slanted and middle - nearest < 0.012 * rows and not lifted
        nearest = middle
        panel.annotate(
            text,
            (middle, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 13 if lifted else 3),
            textcoords="offset points",
            rotation=34 if slanted else 0,
            rotation_mode="anchor",
            ha="left" if slanted else "center",
            va="bottom",
            fontsize=8.5,
            color=_MISSED if finding.first_flagged is None else "#2f7d4b",
            weight="bold",
            annotation_clip=False,
        )


def _tidy(panel: Any) -> None:
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color("#c3ccd4")
    panel.tick_params(colors=_INK, labelsize=8.5, length=3)
    panel.grid(axis="y", color="#e6ebef", linewidth=0.7, zorder=0)


def _telling(results: Results, findings: Sequence[Finding]) -> list[str]:
    """The features most often named first, counted by incident, or by anomaly if no incident was found."""
    named = Counter(finding.feature for finding in findings if finding.feature)
    if not named:
        named = Counter(score.features[0].name for score in results.anomalies.values() if score.features)
    return [name for name, _ in named.most_common(_FEATURES)]


def _title(recording: Recording, summary: Summary) -> str:
    return f"{recording.source}: {summary.incidents_found} of {summary.incidents_total} incidents found"


def _subtitle(summary: Summary, model: str) -> str:
    parts = []
    if summary.false_alarm_rate is not None:
        parts.append(f"{summary.false_alarm_rate * 10_000:.1f} false alarms per 10,000 normal records")
    if summary.precision is not None:
        parts.append(f"precision {summary.precision:.0%}")
    if summary.auroc is not None and summary.auprc is not None:
        parts.append(f"AUROC {summary.auroc:.3f}, AUPRC {summary.auprc:.3f}")
    parts.append(f"{summary.scores_out} records scored by {model}")
    return "   ·   ".join(parts)
