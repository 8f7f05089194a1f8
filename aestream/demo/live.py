"""The stream as it is scored: a live view on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aestream.app.terminal import entity, shown
from aestream.messages.scores import FeatureShare, Score
from aestream.types import Vector

_SHOWN_ANOMALIES = 8
_SHOWN_FEATURES = 3
_OTHER_LINES = 9  # of the screen, besides the rows of the table
_REDRAW_SECONDS = 0.25
_LINE_SECONDS = 2.0
_MOST_LINES = 40  # of anomalies; further ones are only counted
_BLOCKS = "▁▂▃▄▅▆▇█"
_DECADES = 2.0  # the strip shows scores from 0.1 to 10


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the stream. `lag` is in records, None while unknown; `score` is by row, NaN where there is none."""

    sent: int
    total: int
    scored: int
    dead: int
    anomalies: int
    lag: int | None
    score: Vector


class View(Protocol):
    """Shows how the stream progresses."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def anomaly(self, row: int, score: Score) -> None:
        """An anomaly has arrived."""
        ...

    def update(self, progress: Progress) -> None:
        """Show the progress. May be called often: it draws only when it is time."""
        ...


class Rate:
    """Records a second over the last few seconds. `clock` returns seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, span: float = 3.0) -> None:
        self._clock = clock
        self._span = span
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, count: int) -> float:
        """Add the current count; return the rate."""
        now = self._clock()
        self._seen.append((now, count))
        while now - self._seen[0][0] > self._span:
            self._seen.popleft()
        then, before = self._seen[0]
        return (count - before) / (now - then) if now > then else 0.0


class PlainView:
    """One line every two seconds, and one for each of the first anomalies."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._rate = Rate(clock=clock)
        self._drawn = clock()
        self._lines = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def anomaly(self, row: int, score: Score) -> None:
        """Print it, unless there have been too many."""
        self._lines += 1
        if self._lines <= _MOST_LINES:
            told = "; ".join(_feature(f) for f in (score.features or ())[:_SHOWN_FEATURES])
            about = f", {entity(score)}" if score.entity else ""
            self._print(f"anomaly in row {row}{about}, score {score.score:.2f}: {told}")
        if self._lines == _MOST_LINES:
            self._print("further anomalies are only counted")

    def update(self, progress: Progress) -> None:
        """Print the progress."""
        rate = self._rate.update(progress.scored)
        if self._clock() - self._drawn < _LINE_SECONDS:
            return
        self._drawn = self._clock()
        lag = "?" if progress.lag is None else progress.lag
        self._print(
            f"{progress.sent} of {progress.total} sent, {progress.scored} scored, {rate:.0f} records/s, lag {lag}, "
            f"{progress.anomalies} anomalies, {progress.dead} dead letters"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveView:
    """Figures, a strip of the scores, and the latest anomalies with the features that show them."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._rate = Rate(clock=clock)
        self._drawn = 0.0
        self._last: deque[tuple[int, Score]] = deque(maxlen=_SHOWN_ANOMALIES)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def anomaly(self, row: int, score: Score) -> None:
        """Keep it for the table."""
        self._last.appendleft((row, score))

    def update(self, progress: Progress) -> None:
        """Draw, at most a few times a second."""
        now = self._clock()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        rate = self._rate.update(progress.scored)
        self._live.update(self.draw(progress, rate), refresh=True)

    def draw(self, progress: Progress, rate: float) -> Group:
        """The whole view as one renderable."""
        width = max(self._console.width - 2, 20)
        return Group(
            ProgressBar(total=progress.total, completed=progress.sent, width=width),
            _numbers(progress, rate),
            strip(progress.score[: progress.sent], width),
            _table(list(self._last)[: self._room()]),
        )

    def _room(self) -> int:
        """How many anomalies fit on the screen below the rest: if the view is too tall, rich hides all of it."""
        return max((self._console.height - _OTHER_LINES) // _SHOWN_FEATURES, 1)


def strip(score: Vector, width: int) -> Text:
    """The scores (n,) as `width` blocks on a log scale: the highest score of each stretch, red above 1."""
    text = Text(no_wrap=True)
    if not len(score):
        return text
    for part in np.array_split(score, min(width, len(score))):
        known = part[~np.isnan(part)]
        if not len(known):
            text.append(" ")
            continue
        highest = max(float(known.max()), 1e-9)
        level = (np.log10(highest) + _DECADES / 2) / _DECADES
        block = _BLOCKS[int(np.clip(level * len(_BLOCKS), 0, len(_BLOCKS) - 1))]
        text.append(block, style="bold red" if highest > 1 else "green")
    return text


def _numbers(progress: Progress, rate: float) -> Table:
    table = Table.grid(padding=(0, 3))
    lag = "?" if progress.lag is None else f"{progress.lag}"
    table.add_row(
        f"[bold]{rate:.0f}[/] records/s",
        f"lag [bold]{lag}[/]",
        f"[bold]{progress.scored}[/] of {progress.total} scored",
        f"[bold red]{progress.anomalies}[/] anomalies",
        f"[bold]{progress.dead}[/] dead letters",
    )
    return table


def _table(anomalies: Sequence[tuple[int, Score]]) -> Table:
    table = Table("row", "score", "feature", "observed", "expected", "share", expand=True, title="latest anomalies")
    for row, score in anomalies:
        features = (score.features or [])[:_SHOWN_FEATURES]
        table.add_row(
            str(row),
            f"{score.score:.2f}",
            *("\n".join(column) for column in zip(*map(_cells, features), strict=True)),
        )
    return table


def _cells(feature: FeatureShare) -> tuple[str, str, str, str]:
    return feature.name, shown(feature.observed), shown(feature.expected), f"{feature.share:.0%}"


def _feature(feature: FeatureShare) -> str:
    name, observed, expected, share = _cells(feature)
    return f"{name} {observed}, expected {expected} ({share})"
