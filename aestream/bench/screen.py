"""What is seen of a bench while it runs, on standard error: a line before each thing it makes, and a bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from aestream.types import Batch


class Screen:
    """A bar for the step at hand, if there is a terminal, and lines that stay."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        shown = self._console.is_terminal
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not shown)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, what: str, total: int | None = None) -> None:
        """Begin a step of so many records, if that is known."""
        self._bar.reset(self._task, total=total, description=what)

    def at(self, done: int) -> None:
        """So much of the step is done."""
        self._bar.update(self._task, completed=done)

    def advance(self) -> None:
        """One more record is done."""
        self._bar.advance(self._task)

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand batches on, and count their records."""
        for batch in batches:
            self._bar.advance(self._task, len(batch))
            yield batch
