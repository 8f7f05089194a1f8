"""How a service handles signals: SIGTERM and SIGINT ask it to stop, SIGHUP to reload."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType


class Stop:
    """The request to stop a service: SIGTERM or SIGINT sets it; a second one kills the process at once."""

    def __init__(self) -> None:
        self.since: float | None = None
        self._interrupts = False
        # An Event would deadlock if a handler set it while the same thread is about to wait for it.
        self._signals: SimpleQueue[None] = SimpleQueue()

    def listen(self, *, reload: Callable[[], None]) -> None:
        """Install the signal handlers; SIGHUP calls `reload`, even if it came while it was blocked."""

        def on_reload(_number: int, _frame: FrameType | None) -> None:
            reload()
            self._signals.put(None)

        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGHUP, on_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def set(self) -> None:
        """Ask the service to stop."""
        self.since = time.monotonic()
        self._signals.put(None)

    def is_set(self) -> bool:
        """Whether the service was asked to stop."""
        return self.since is not None

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds, or until a signal comes; True once the service was asked to stop."""
        if not self.is_set():
            with suppress(Empty):
                self._signals.get(timeout=seconds)
        return self.is_set()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal interrupt the main thread in this block, where no work is in progress that could be lost."""
        self._interrupts = not self.is_set()
        try:
            yield
        except _Interruption:
            pass
        finally:
            self._interrupts = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.set()
        if self._interrupts:
            self._interrupts = False
            raise _Interruption


class _Interruption(BaseException):
    """A signal came while no work was in progress."""
