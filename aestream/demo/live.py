"""The stream as it is scored: a live view on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aestream.app.terminal import explained
from aestream.demo.feed import Feed
from aestream.demo.results import Episode, News, Results
from aestream.types import Level, Vector

_SHOWN_FEATURES = 2  # of an episode
_SHOWN_ENTITIES = 8
_OTHER_LINES = 9  # of the screen, besides entities and episodes
_FEWEST_EPISODES = 3
_REDRAW_SECONDS = 0.25
_LINE_SECONDS = 2.0
_MOST_LINES = 120  # of episodes; of further ones only a level that moved is told
_BLOCKS = "▁▂▃▄▅▆▇█"
_DECADES = 2.0  # the strip shows scores from 0.1 to 10
_MOVED = "moved for good: train again"


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the stream. `lag` is in records, None while unknown."""

    sent: int
    lag: int | None


class View(Protocol):
    """Shows how the stream progresses."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def tell(self, news: News) -> None:
        """Something has happened."""
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
    """One line every two seconds, and one for each of the first episodes, and for each level that moves for good."""

    def __init__(
        self, console: Console, feed: Feed, results: Results, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._feed = feed
        self._results = results
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

    def tell(self, news: News) -> None:
        """Print it, unless there has been too much."""
        place = self._feed.place(news.row)
        if news.what == "moved":
            self._print(f"{place}: its level has {_MOVED}")
        elif news.what in {"opened", "closed", "anomaly"}:
            self._lines += 1
            if self._lines <= _MOST_LINES:
                self._print(f"{place}: {_told(news, self._results)}")
            if self._lines == _MOST_LINES:
                self._print("further ones are only counted")

    def update(self, progress: Progress) -> None:
        """Print the progress."""
        results = self._results
        scored = int(results.scored.sum())
        rate = self._rate.update(scored)
        if self._clock() - self._drawn < _LINE_SECONDS:
            return
        self._drawn = self._clock()
        lag = "?" if progress.lag is None else progress.lag
        self._print(
            f"{progress.sent} of {len(results.scored)} sent, {scored} scored, {rate:.0f} records/s, lag {lag}, "
            f"{_open(results)} episodes open, {len(results.episodes)} so far, {int(results.dead.sum())} dead letters"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveView:
    """Figures, a strip of the scores of each entity, and the episodes with the features that show them."""

    def __init__(
        self, console: Console, feed: Feed, results: Results, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._feed = feed
        self._results = results
        self._clock = clock
        self._rate = Rate(clock=clock)
        self._drawn = 0.0
        self._alone: deque[News] = deque(maxlen=50)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, news: News) -> None:
        """Print a level that moved above the view, where it stays; keep anomalies that are not in an episode."""
        if news.what == "moved":
            line = Text(f"{self._feed.place(news.row)}: its level has {_MOVED}", style="bold yellow")
            self._live.console.print(line)
        elif news.what == "anomaly":
            self._alone.appendleft(news)

    def update(self, progress: Progress) -> None:
        """Draw, at most a few times a second."""
        now = self._clock()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        rate = self._rate.update(int(self._results.scored.sum()))
        self._live.update(self.draw(progress, rate), refresh=True)

    def draw(self, progress: Progress, rate: float) -> Group:
        """The whole view as one renderable."""
        width = max(self._console.width - 2, 20)
        entities = self._entities(progress.sent, width)
        room = max(self._console.height - _OTHER_LINES - entities.row_count, _FEWEST_EPISODES)
        bar = Table.grid()  # by itself, a bar does not end its line
        bar.add_row(ProgressBar(total=len(self._results.scored), completed=progress.sent, width=width))
        return Group(
            bar,
            _numbers(progress, self._results, rate),
            Text(),
            entities,
            Text(),
            self._episodes(room) if self._results.episodes or not self._alone else self._anomalies(room),
        )

    def _entities(self, sent: int, width: int) -> Table:
        """The scores of each entity, where its level is, and whether an episode is open."""
        feed, results = self._feed, self._results
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        owner = feed.test.owner[:sent]
        busy = {int(feed.test.owner[e.rows[0]]) for e in results.episodes.values() if e.closed is None}
        longest = max(map(len, feed.entities[:_SHOWN_ENTITIES]))
        for entity, name in enumerate(feed.entities[:_SHOWN_ENTITIES]):
            rows = np.flatnonzero(owner == entity)
            rows = rows[results.scored[rows]]
            level = Level(int(results.level[rows[-1]])) if len(rows) else Level.USUAL
            said = {Level.MOVED: "[yellow]moved[/]", Level.HELD: "[yellow]held[/]", Level.USUAL: ""}[level]
            state = " ".join(filter(None, ("[bold red]episode[/]" if entity in busy else "", said)))
            table.add_row(f"[bold]{name}[/]", strip(results.score[rows], max(width - longest - 18, 10)), state)
        if len(feed.entities) > _SHOWN_ENTITIES:
            table.add_row(f"and {len(feed.entities) - _SHOWN_ENTITIES} more", "", "")
        return table

    def _episodes(self, room: int) -> Table:
        """The episodes that are open, then those that closed, newest first."""
        table = _listing("episode", "since", "anomalies", "worst", "what shows it, at worst")
        every = sorted(self._results.episodes.values(), key=lambda e: (e.closed is None, e.rows[0]), reverse=True)
        for episode in every[:room]:
            table.add_row(
                "[bold red]open[/]" if episode.closed is None else "closed",
                self._feed.place(episode.rows[0]),
                str(len(episode.rows)),
                f"{episode.worst.score:.2f}",
                explained((episode.worst.features or ())[:_SHOWN_FEATURES]),
                style="" if episode.closed is None else "dim",
            )
        return table

    def _anomalies(self, room: int) -> Table:
        """The latest anomalies, where records are judged alone."""
        table = _listing("anomaly", "score", "what shows it")
        for news in list(self._alone)[:room]:
            told = explained((news.score.features or ())[:_SHOWN_FEATURES])
            table.add_row(self._feed.place(news.row), f"{news.score.score:.2f}", told)
        return table


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


def _numbers(progress: Progress, results: Results, rate: float) -> Table:
    table = Table.grid(padding=(0, 3))
    lag = "?" if progress.lag is None else f"{progress.lag}"
    table.add_row(
        f"[bold]{rate:.0f}[/] records/s",
        f"lag [bold]{lag}[/]",
        f"[bold]{int(results.scored.sum())}[/] of {len(results.scored)} scored",
        f"[bold red]{int(results.flagged.sum())}[/] flagged",
        f"[bold red]{_open(results)}[/] episodes open, [bold]{len(results.episodes)}[/] so far",
        f"[bold]{int(results.dead.sum())}[/] dead letters",
    )
    return table


def _listing(*columns: str) -> Table:
    table = Table(expand=True, box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=None if name != columns[-1] else 1)
    return table


def _open(results: Results) -> int:
    return sum(episode.closed is None for episode in results.episodes.values())


def _told(news: News, results: Results) -> str:
    """An anomaly, or an episode that opens or closes, in words."""
    score = news.score
    if news.what == "closed" and score.episode is not None:
        episode: Episode = results.episodes[score.episode.id]
        shares = ", ".join(f"{part.name} ({part.share:.0%})" for part in score.episode.features[:_SHOWN_FEATURES])
        return f"episode closed, {len(episode.rows)} anomalies, at worst {score.episode.worst:.2f}: {shares}"
    what = "episode opened" if news.what == "opened" else "anomaly"
    return f"{what}, score {score.score:.2f}: {explained((score.features or ())[:_SHOWN_FEATURES])}"
