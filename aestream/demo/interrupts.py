"""Ctrl-C and SIGTERM at any moment: the work stops where it is, the clean-up never does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Turns the first signal into a KeyboardInterrupt, and later ones into nothing.

    `held` keeps it back while something is started: a process or a folder that exists and is not yet known to
    the clean-up would stay behind. `ignore` is called before the clean-up. For the main thread only.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._holding = False
        self._ignoring = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # Once interrupted, the process is about to end: impatience must not change its exit code.
            signal.signal(number, handler if self.number is None else signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait for the end of the block, which has to be short."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was a signal."""
        if self.number is not None:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """From now on a signal only changes the exit code."""
        self._ignoring = True

    @property
    def exit_code(self) -> int:
        """As a shell reports it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        first = self.number is None
        self.number = self.number or number
        if first and not self._holding and not self._ignoring:
            raise KeyboardInterrupt
