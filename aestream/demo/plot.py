"""The plot of a run, as an operator would see it: by entity the scores, the episodes, and levels that moved."""

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
from matplotlib.ticker import FuncFormatter, NullFormatter

from aestream.demo.feed import Feed
from aestream.demo.results import Results
from aestream.demo.verdict import Finding, Summary
from aestream.errors import DataError
from aestream.types import Flags, Level

_ENTITIES = 8  # those with the most episodes
_FEATURES = 2
_MOST_NAMES = 16  # more names would overlap: then only the numbers are shown
_NAME_LETTERS = 30
_CROWDED = 0.9  # of the width: the name of an incident beyond this is in the margin
_SLIMMEST = 0.002  # of the width: what is shorter would be invisible
_NEAR = 0.012  # of the width: numbers that are closer would overlap
_EPISODE_BAR, _LEVEL_BAR = (0.0, 0.055), (0.07, 0.115)  # of the height of a panel
_INK, _LINE, _FLAG, _FALSE, _EXPECTED = "#22303c", "#7b93a8", "#c0392b", "#e39b1f", "#1f6fb2"
_FOUND, _MISSED, _EPISODE = "#5bb57a", "#e2574c", "#c0392b"
_LEVELS = {Level.HELD: "#b8a2d6", Level.MOVED: "#6a3fb0"}


def draw(
    path: Path, feed: Feed, results: Results, summary: Summary, findings: Sequence[Finding], *, model: str
) -> None:
    """Write the plot as PNG. Raises DataError when the file cannot be written."""
    entities, features = _busiest(feed, results), _telling(feed, results, findings)
    several = len(feed.entities) > 1
    named = not several and 0 < len(findings) <= _MOST_NAMES and any(f.case.incident.name for f in findings)
    lane = 1.75 if several else 4.2
    heights = [lane] * len(entities) + [1.1] * len(features)
    above = 1.85 if named else 1.25
    height = above + sum(heights) + 0.32 * len(heights) + 0.5
    figure = Figure(figsize=(14, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    rows = int(feed.test.number.max(initial=0)) + 1
    for panel, entity in zip(panels, entities, strict=False):
        _scores(panel, entity, feed, results, findings, rows)
        _number(panel, [(n, f) for n, f in enumerate(findings, start=1) if entity in f.case.causes], rows, named=named)
        if several:
            _entitle(panel, entity, feed, results)
    for panel, (entity, name) in zip(panels[len(entities) :], features, strict=True):
        _feature(panel, entity, name, feed, results, findings, rows)
    for panel in panels:
        _tidy(panel)
    panels[-1].set_xlabel("record of the entity, from the start of the test part", color=_INK)
    panels[-1].set_xlim(0, rows)
    # a slanted name needs room on its right
    right = 0.925 if named and findings[-1].case.incident.start > _CROWDED * rows else 0.985
    figure.subplots_adjust(left=0.065, right=right, bottom=0.5 / height, top=1 - above / height, hspace=0.24)
    figure.text(0.065, 1 - 0.12 / height, _title(feed, summary), va="top", fontsize=15, weight="bold", color=_INK)
    figure.text(0.065, 1 - 0.46 / height, _subtitle(summary, model), va="top", fontsize=10, color=_INK)
    place = (0.06, 1 - 0.64 / height)
    figure.legend(handles=_legend(), loc="upper left", bbox_to_anchor=place, ncols=9, fontsize=8.5, frameon=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise DataError(f"--plot {path} cannot be written: {error.strerror}") from error


def _busiest(feed: Feed, results: Results) -> list[int]:
    """The entities to show, in their own order: those with the most episodes, if there are too many."""
    count = Counter(int(feed.test.owner[episode.rows[0]]) for episode in results.episodes.values())
    return sorted(sorted(range(len(feed.entities)), key=lambda entity: -count[entity])[:_ENTITIES])


def _scores(panel: Any, entity: int, feed: Feed, results: Results, findings: Sequence[Finding], rows: int) -> None:
    """An entity's scores on a log axis, the threshold at 1, flagged records, incidents, episodes and levels."""
    places = np.flatnonzero(feed.test.owner == entity)
    number, score, label = feed.test.number[places], results.score[places], feed.label[places]
    _shade(panel, [finding for finding in findings if entity in finding.case.causes], entity, rows)
    known = score[~np.isnan(score)]
    floor = max(float(np.quantile(known, 0.001)), 1e-3) if len(known) else 0.1
    panel.plot(number, np.maximum(score, floor), color=_LINE, linewidth=0.7, zorder=2)
    panel.axhline(1.0, color=_INK, linewidth=1.0, linestyle=(0, (5, 3)), zorder=3)
    for mask, colour, size in ((label, _FLAG, 13), (~label, _FALSE, 17)):
        chosen = results.flagged[places] & mask
        panel.scatter(number[chosen], score[chosen], s=size, color=colour, edgecolors="white", lw=0.4, zorder=4)
    for episode in results.episodes.values():
        if feed.test.owner[episode.rows[0]] == entity:
            first, last = feed.test.number[[episode.rows[0], episode.rows[-1]]]
            _bar(panel, first, last, rows, _EPISODE_BAR, _EPISODE)
    for level, colour in _LEVELS.items():
        for first, last in _runs(results.level[places] == level):
            _bar(panel, number[first], number[last], rows, _LEVEL_BAR, colour)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    top = max(float(known.max(initial=1.0)), 2.0) * 1.5
    bottom = floor * 0.8
    panel.set_ylim(bottom * (bottom / top) ** 0.16, top)  # room for the bars below the line
    panel.set_ylabel("score", color=_INK)


def _bar(panel: Any, first: int, last: int, rows: int, height: tuple[float, float], colour: str) -> None:
    """What lasted from record `first` to `last`, at a height of the panel."""
    slim = max(_SLIMMEST * rows - (last + 1 - first), 0.0) / 2
    panel.axvspan(first - slim, last + 1 + slim, *height, color=colour, linewidth=0, zorder=3)


def _runs(marks: Flags) -> list[tuple[int, int]]:
    """The first and last place of each run of marks (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return [(int(start), int(stop) - 1) for start, stop in edges.reshape(-1, 2)]


def _entitle(panel: Any, entity: int, feed: Feed, results: Results) -> None:
    """The entity's name, how many episodes it had, and where its level moved for good."""
    places = np.flatnonzero(feed.test.owner == entity)
    episodes = [feed.test.owner[episode.rows[0]] for episode in results.episodes.values()].count(entity)
    moved = np.flatnonzero(results.level[places] == Level.MOVED)
    panel.text(
        0.004,
        0.95,
        feed.entities[entity],
        transform=panel.transAxes,
        va="top",
        fontsize=10.5,
        weight="bold",
        color=_INK,
    )
    told = f"{episodes} episode{'s' * (episodes != 1)}"
    if len(moved):
        told += f", moved for good at {feed.test.number[places[moved[0]]]}"
    panel.text(0.996, 0.95, told, transform=panel.transAxes, va="top", ha="right", fontsize=8.5, color=_INK)


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=_LINE, label="score, observed value"),
        Line2D([], [], color=_INK, linestyle=(0, (5, 3)), label="threshold"),
        _dot(_FLAG, "flagged, labelled"),
        _dot(_FALSE, "flagged, not labelled"),
        Patch(color=_FOUND, alpha=0.35, label="incident, seen"),
        Patch(color=_MISSED, alpha=0.35, label="incident, not seen"),
        Patch(color=_EPISODE, label="episode"),
        Patch(color=_LEVELS[Level.HELD], label="level held"),
        Patch(color=_LEVELS[Level.MOVED], label="moved for good"),
    ]


def _dot(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker="o", linestyle="", markersize=5, label=label)


def _feature(
    panel: Any, entity: int, name: str, feed: Feed, results: Results, findings: Sequence[Finding], rows: int
) -> None:
    """A feature as observed, and as the model expected it where it had a share in an anomaly."""
    places = np.flatnonzero(feed.test.owner == entity)
    number = feed.test.number
    _shade(panel, [finding for finding in findings if entity in finding.case.causes], entity, rows)
    panel.plot(number[places], feed.test.values[places, feed.names.index(name)], color=_LINE, linewidth=0.7, zorder=2)
    of_entity = set(places.tolist())
    told = [
        (number[row], feature)
        for row, score in results.anomalies.items()
        if row in of_entity
        for feature in score.features or ()
        if feature.name == name
    ]
    where = [place for place, _ in told]
    panel.vlines(
        where, [f.observed for _, f in told], [f.expected for _, f in told], color=_EXPECTED, lw=0.6, alpha=0.5
    )
    panel.scatter(where, [f.observed for _, f in told], s=9, color=_FLAG, zorder=4)
    panel.scatter(where, [f.expected for _, f in told], s=9, color=_EXPECTED, zorder=4)
    whose = f"{feed.entities[entity]}: " if len(feed.entities) > 1 else ""
    panel.set_title(f"{whose}{name}", loc="left", fontsize=9.5, color=_INK, pad=3, weight="bold")
    panel.set_title("● observed", loc="center", fontsize=8.5, color=_FLAG, pad=3)
    panel.set_title("● expected by the model", loc="right", fontsize=8.5, color=_EXPECTED, pad=3)
    panel.margins(y=0.25)


def _shade(panel: Any, findings: Sequence[Finding], entity: int, rows: int) -> None:
    for finding in findings:
        incident = finding.case.incident
        colour = _FOUND if entity in finding.first_flagged else _MISSED
        missing = max(_SLIMMEST * rows - (incident.end + 1 - incident.start), 0.0) / 2
        panel.axvspan(
            incident.start - missing, incident.end + 1 + missing, color=colour, alpha=0.3, linewidth=0, zorder=1
        )


def _number(panel: Any, findings: Sequence[tuple[int, Finding]], rows: int, *, named: bool) -> None:
    """Write the incidents' numbers above the panel, with their names if there is room."""
    nearest = -np.inf
    lifted = False
    for number, finding in findings:
        incident = finding.case.incident
        middle = (incident.start + incident.end) / 2
        name = incident.name[:_NAME_LETTERS] + ("…" if len(incident.name) > _NAME_LETTERS else "")
        slanted = bool(named and name)
        lifted = not slanted and middle - nearest < _NEAR * rows and not lifted
        nearest = middle
        panel.annotate(
            f"{number} {name}" if slanted else str(number),
            (middle, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 11 if lifted else 2),
            textcoords="offset points",
            rotation=34 if slanted else 0,
            rotation_mode="anchor",
            ha="left" if slanted else "center",
            va="bottom",
            fontsize=8,
            color="#2f7d4b" if finding.found else _MISSED,
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


def _telling(feed: Feed, results: Results, findings: Sequence[Finding]) -> list[tuple[int, str]]:
    """The features most often named first, by incident, or by anomaly if no incident was found; each of one entity."""
    named = Counter((f.worst, f.feature) for f in findings if f.feature and f.worst is not None)
    if not named:
        owner = feed.test.owner
        top = [(int(owner[row]), score.features[0].name) for row, score in results.anomalies.items() if score.features]
        named = Counter(top)
    chosen: dict[str, int] = {}
    for (entity, name), _ in named.most_common():
        chosen.setdefault(name, entity)
    return [(entity, name) for name, entity in chosen.items()][:_FEATURES]


def _title(feed: Feed, summary: Summary) -> str:
    return f"{feed.source}: {summary.incidents_found} of {summary.incidents_total} incidents found"


def _subtitle(summary: Summary, model: str) -> str:
    parts = [f"{summary.entities} entities"] if summary.entities > 1 else []
    if summary.episodes:
        parts.append(f"{summary.episodes} episodes, {summary.episodes_outside} without an incident")
    if summary.false_alarm_rate is not None:
        parts.append(f"{summary.false_alarm_rate:.2%} of the normal records flagged")
    if summary.auprc is not None:
        parts.append(f"AUPRC {summary.auprc:.3f}")
    parts.append(f"{summary.scores_out} records scored by {model}")
    return "  ·  ".join(parts)
