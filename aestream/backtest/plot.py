"""The plot of a backtest: the scores of a few entities over time, with threshold, episodes and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from aestream.backtest import figures
from aestream.backtest.episodes import Episode
from aestream.backtest.outcome import Outcome
from aestream.errors import DataError
from aestream.types import Places, Status

_ENTITIES = 6  # worst first
_POINTS = 4000  # of a line: of more records that are close, the highest score is drawn
_LOWEST = 1e-3
_SLIMMEST = 0.002  # of the width: what is shorter would be invisible
_INK, _LINE, _FLAG, _EPISODE, _LABEL = "#22303c", "#7b93a8", "#c0392b", "#e2574c", "#5bb57a"


def draw(path: Path, what: str, name: str, outcome: Outcome, found: Sequence[Episode]) -> None:
    """Write the plot as PNG. `name` is what the detector is called. Raises DataError when it cannot be written."""
    shown = figures.by_entity(outcome, found)[:_ENTITIES]
    figure = Figure(figsize=(13, 1.3 + 1.9 * len(shown)), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for panel, of in zip(panels, shown, strict=True):
        places = np.flatnonzero(outcome.owner == of.entity)
        _panel(panel, outcome, places, [episode for episode in found if episode.entity == of.entity])
        told = f"{outcome.called(of.entity)}  ·  {of.episodes} episode{'s' * (of.episodes != 1)}".lstrip(" ·")
        panel.set_title(told, loc="left", fontsize=9.5, color=_INK, weight="bold")
    if outcome.times is None:
        panels[-1].set_xlabel("record", color=_INK)
    else:
        locator = AutoDateLocator()
        panels[-1].xaxis.set_major_locator(locator)
        panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.suptitle(f"{what}  ·  {name}", x=0.01, ha="left", fontsize=12, weight="bold", color=_INK)
    figure.legend(
        handles=_legend(labelled=outcome.labels is not None),
        loc="outside lower left",
        ncols=5,
        fontsize=8.5,
        frameon=False,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise DataError(f"--plot {path} cannot be written: {error.strerror}") from error


def _panel(panel: Any, outcome: Outcome, places: Places, found: Sequence[Episode]) -> None:
    """One entity's scores on a log axis, the threshold at 1, flagged records, episodes and labels."""
    when, score = _when(outcome, places), np.maximum(outcome.score[places], _LOWEST)
    slim = _SLIMMEST * (when[-1] - when[0])
    for episode in found:
        first, last = _when(outcome, episode.places[[0, -1]])
        panel.axvspan(first - slim / 2, last + slim / 2, color=_EPISODE, alpha=0.25, linewidth=0)
    drawn = _peaks(score)
    panel.plot(when[drawn], score[drawn], color=_LINE, linewidth=0.7)
    panel.axhline(1.0, color=_INK, linewidth=1.0, linestyle=(0, (5, 3)))
    flagged = outcome.anomaly[places]
    panel.scatter(when[flagged], score[flagged], s=12, color=_FLAG, edgecolors="white", linewidths=0.4, zorder=4)
    if outcome.labels is not None and (labelled := outcome.labels[places]).any():
        panel.fill_between(
            when, 0, 0.05, where=labelled, step="mid", color=_LABEL, linewidth=2, transform=panel.get_xaxis_transform()
        )
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    judged = score[outcome.status[places] == Status.SCORED]
    panel.set_ylim(max(float(np.quantile(score, 0.001)) * 0.7, _LOWEST), max(float(judged.max(initial=1)), 2.0) * 1.5)
    panel.set_ylabel("score", color=_INK)
    panel.margins(x=0.005)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.tick_params(colors=_INK, labelsize=8.5, length=3)
    panel.grid(axis="y", color="#e6ebef", linewidth=0.7)


def _when(outcome: Outcome, places: Places) -> NDArray[Any]:
    """Where records are on the axis: at their time in days, or at their number."""
    return outcome.number[places].astype(float) if outcome.times is None else outcome.times[places] / 86_400


def _peaks(score: NDArray[np.float64]) -> Places:
    """The records to draw: all, or, of so many that they would overlap, the highest score of each group."""
    if len(score) <= _POINTS:
        return np.arange(len(score))
    edges = np.linspace(0, len(score), _POINTS + 1).astype(int)
    groups = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return np.array([start + int(np.argmax(score[start:stop])) for start, stop in groups])


def _legend(*, labelled: bool) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=_LINE, label="score"),
        Line2D([], [], color=_INK, linestyle=(0, (5, 3)), label="threshold"),
        Line2D([], [], color=_FLAG, marker="o", linestyle="", markersize=5, label="flagged"),
        Patch(color=_EPISODE, alpha=0.3, label="episode"),
    ]
    return [*handles, Patch(color=_LABEL, label="labelled")] if labelled else handles
