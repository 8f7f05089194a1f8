"""What `aestream backtest` prints and writes: figures and costs side by side, a line for each entity, episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table

from aestream.app.terminal import console, explained
from aestream.backtest import episodes, figures
from aestream.backtest.episodes import Episode
from aestream.backtest.figures import Against, Of
from aestream.backtest.outcome import Outcome
from aestream.files.writers import Columns
from aestream.types import Level, Places, Status

_ROWS = 20  # of the table of entities
_LEVELS = [level.name.lower() for level in Level]


@dataclass(frozen=True, slots=True)
class Result:
    """What a detector is called, what it makes of a stretch, and the episodes."""

    name: str
    outcome: Outcome
    episodes: Sequence[Episode]

    def rate(self, count: int) -> str:
        """So many episodes, a day or, where times are not known, in 10,000 records."""
        days = self.outcome.days
        return f"{count / days:,.1f}" if days else f"{count / len(self.outcome) * 10_000:,.1f}"


@contextmanager
def judging() -> Iterator[Callable[[int], None]]:
    """Show how many records have been judged, if there is a terminal."""
    shown = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("judging"), TextColumn("{task.completed:,} records")
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda records: bar.update(task, completed=records)


def results(judged: Sequence[tuple[str, Outcome]]) -> list[Result]:
    """Find the episodes."""
    return [Result(name, outcome, episodes.found(outcome)) for name, outcome in judged]


def report(what: str, found: Sequence[Result]) -> None:
    """Print everything about one result, or about two side by side."""
    _say(f"backtest of {what}{_span(found[0].outcome)}")
    _figures(found)
    _entities(found)
    _levels(found)
    _costs(found)
    late = int((~found[0].outcome.in_order).sum())
    if 2 * late > len(found[0].outcome):
        _say(f"{late:,} records are older than one of their entity before them, and could not be flagged: sort them")


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _span(outcome: Outcome) -> str:
    days = outcome.days
    if outcome.times is None or days is None:
        return ""
    known = np.flatnonzero(np.isfinite(outcome.times))
    ends = known[[np.argmin(outcome.times[known]), np.argmax(outcome.times[known])]]
    first, last = (str(text)[:16].replace("T", " ") for text in outcome.when(ends))
    return f", {first} to {last} UTC ({days:.2g} days)" if days > 1 else f", {first} to {last} UTC"


def _figures(found: Sequence[Result]) -> None:
    """One row for each figure, one column for each detector."""
    table = Table("", *(Column(escape(of.name), justify="right") for of in found), pad_edge=False, box=SIMPLE_HEAD)
    columns = [dict(_told(of)) for of in found]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "-") for column in columns))
    console.print(table, highlight=False)


def _told(of: Result) -> Iterator[tuple[str, str]]:
    outcome = of.outcome
    flagged = int(outcome.anomaly.sum())
    yield "records", f"{len(outcome):,}"
    yield "entities", f"{len(outcome.entities):,}"
    if outcome.unusable:
        yield "unusable records", f"{outcome.unusable:,}"
    for status in (Status.WARMING, Status.LATE):
        if count := int((outcome.status == status).sum()):
            yield f"{status.name.lower()} records", f"{count:,}"
    yield "flagged records", f"{flagged:,} ({_percent(flagged, len(outcome))}; {100 * outcome.rate:.3g} % asked for)"
    yield "episodes", f"{len(of.episodes):,}"
    yield _per(outcome), of.rate(len(of.episodes))
    if outcome.remembers:
        for level, what in ((Level.HELD, "entities held at the end"), (Level.MOVED, "entities moved for good")):
            yield what, f"{len(outcome.at_level(level)):,}"
    against = figures.against(outcome, of.episodes)
    if against is not None:
        yield from _judged(of, against)


def _judged(of: Result, against: Against) -> Iterator[tuple[str, str]]:
    """What the labels say."""
    yield "incidents found", f"{against.found} of {len(against.incidents)}"
    delay = figures.delay(of.outcome, against)
    if delay is not None:
        yield "median delay", f"{delay:,.3g} {'s' if of.outcome.times is not None else 'records'}"
    yield "episodes without an incident", f"{against.false_episodes:,} ({of.rate(against.false_episodes)})"
    yield "precision (of episodes)", _percent(len(of.episodes) - against.false_episodes, len(of.episodes))
    yield "flagged normal records", f"{against.flagged_normal:,} ({_percent(against.flagged_normal, against.normal)})"


def _entities(found: Sequence[Result]) -> None:
    """What was flagged of each entity, the one with the most episodes first; of two detectors without the features."""
    outcome = found[0].outcome
    listed = figures.by_entity(outcome, found[0].episodes)
    others = [
        {other.outcome.entities[of.entity]: of for of in figures.by_entity(other.outcome, other.episodes)}
        for other in found[1:]
    ]
    alone = not others
    table = Table("entity", Column("records", justify="right"), pad_edge=False, box=SIMPLE_HEAD)
    for what in ("flagged", "episodes", "worst") if alone else [escape(of.name) for of in found]:
        table.add_column(what, justify="right")
    for what in ("when", "features") if alone else ():
        table.add_column(what, no_wrap=what == "when")
    for of in listed[:_ROWS]:
        about = escape(outcome.called(of.entity)) or "(all)", f"{of.records:,}"
        if alone:
            (moment,) = outcome.when(np.array([of.worst]))
            told = [f"{of.flagged:,}", f"{of.episodes:,}", f"{outcome.score[of.worst]:.2f}"]
            told += [_moment(moment), escape(", ".join(of.telling))]
        else:
            same = [known.get(outcome.entities[of.entity]) for known in others]
            told = [_briefly(o.outcome, one) for o, one in zip(found, [of, *same], strict=True)]
        table.add_row(*about, *told)
    console.print(table, highlight=False)
    if len(listed) > _ROWS:
        quiet = sum(not of.episodes for of in listed[_ROWS:])
        _say(
            f"and {len(listed) - _ROWS} more entities, {quiet} of them without an anomaly: --output lists all episodes"
        )


def _briefly(outcome: Outcome, of: Of | None) -> str:
    if of is None:
        return "-"
    episodes_of = f"{of.episodes:,} episode{'s' * (of.episodes != 1)}"
    return f"{of.flagged:,} flagged, {episodes_of}, worst {outcome.score[of.worst]:.2f}"


def _levels(found: Sequence[Result]) -> None:
    """One line for each entity that ends at another level than the usual one, the longest ones first."""
    for of in found:
        outcome, name = of.outcome, f"{of.name}: " if len(found) > 1 else ""
        for level, told in ((Level.MOVED, "moved for good"), (Level.HELD, "held above the usual level")):
            begins = sorted(outcome.since(place) for place in outcome.at_level(level).tolist())
            moments = outcome.when(np.array(begins, np.intp))
            for begin, moment in list(zip(begins, moments, strict=True))[:_ROWS]:
                entity = outcome.called(int(outcome.owner[begin])) or "all records"
                _say(f"{name}{entity}: {told} since {_moment(moment)}")


def _costs(found: Sequence[Result]) -> None:
    """What other false-alarm rates would have cost."""
    for of in found:
        title = of.name if len(found) > 1 else None
        table = Table("false-alarm rate", title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
        for name in ("flagged", "episodes", _per(of.outcome)):
            table.add_column(name, justify="right")
        for cost in figures.costs(of.outcome, of.episodes):
            told = ["cannot tell"] * 3
            if cost.flagged is not None and cost.episodes is not None:
                told = [f"{cost.flagged:,}", f"{cost.episodes:,}", of.rate(cost.episodes)]
            table.add_row(f"{100 * cost.rate:.3g} %", *told, style="bold" if cost.rate == of.outcome.rate else "")
        console.print(table, highlight=False)
    if any(of.outcome.remembers for of in found):
        _say(
            "Other rates are counted by the p-values of the same scores. Thresholds that follow an entity's errors "
            "would have moved otherwise: fit with another AESTREAM_THRESHOLD__FALSE_ALARM_RATE to be sure."
        )


def rows(of: Result) -> Columns:
    """One row for each episode, as columns."""
    outcome, found = of.outcome, of.episodes
    first = np.array([episode.places[0] for episode in found], np.intp)
    last = np.array([episode.places[-1] for episode in found], np.intp)
    worst = np.array([episode.worst for episode in found], np.intp)
    columns: Columns = {
        "model": [of.name] * len(found),
        "entity": [outcome.called(episode.entity) for episode in found],
        "since": _column(outcome, first),
        "until": _column(outcome, last),
        "flagged": np.array([len(episode.places) for episode in found], np.int64),
        "worst": outcome.score[worst],
        "worst_at": _column(outcome, worst),
        "level": [_LEVELS[code] for code in outcome.level[last].tolist()],
        "features": [explained(episode.features) for episode in found],
    }
    return (
        columns
        if outcome.labels is None
        else {**columns, "labelled": np.array([episode.labelled for episode in found], bool)}
    )


def _column(outcome: Outcome, places: Places) -> Sequence[Any] | NDArray[Any]:
    return outcome.number[places] if outcome.times is None else outcome.when(places)


def _per(outcome: Outcome) -> str:
    return "episodes a day" if outcome.days else "in 10,000 records"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %" if whole else "-"


def _moment(value: object) -> str:
    return str(value)[:16].replace("T", " ") if isinstance(value, str) else "" if value is None else f"record {value}"
