"""Ctrl-C, SIGTERM or a closed terminal at any time: the work stops at once, but the clean-up always completes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the first signal into a KeyboardInterrupt, and ignores later ones.

    `held` delays it while something is being started: a process or a folder that exists but is not yet known to
    the clean-up would be left behind. Call `ignore` before the clean-up. For the main thread only.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._holding = False
        self._ignoring = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        heard = [number for number in _SIGNALS if not _outlived(number)]
        self._before = {number: signal.signal(number, self._on_signal) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # Once interrupted, the process is about to end: a second Ctrl-C must not change its exit code.
            signal.signal(number, handler if self.number is None else signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a signal back until the end of the block, which must be short."""
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
        """From now on, a signal only changes the exit code."""
        self._ignoring = True

    @property
    def exit_code(self) -> int:
        """As a shell reports it: 130 for Ctrl-C, 143 for SIGTERM, 129 for a closed terminal."""
        return 128 + (self.number or signal.SIGINT)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        first = self.number is None
        self.number = self.number or number
        if first and not self._holding and not self._ignoring:
            raise KeyboardInterrupt


def _outlived(number: signal.Signals) -> bool:
    """Whether whoever started this, such as nohup, wants it to outlive its terminal."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
