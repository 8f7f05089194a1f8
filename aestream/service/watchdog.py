"""Ends a service that does not get on, with the stacks of its threads in the log: whoever looks can see where."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

from aestream.service.service import Service

_log = logging.getLogger(__name__)

_NAME = "watchdog"
_LOOK_SECONDS = 1.0
_LOOKS = 3  # in a row that see the same: a process that was suspended has its first look before its first beat
_LATE_SECONDS = 5.0  # a look that comes this late: the whole process stood still, not just the loop
_LAST_SECONDS = 5.0  # between the log and the end, in which the probes tell of it
_GRACE_SECONDS = 15.0  # beyond the time to drain


class Watchdog:
    """A thread that sees a loop that hangs, or a shutdown that takes too long.

    `drain_timeout` is in seconds. `end` ends the process; nothing else helps when its main thread hangs.
    """

    def __init__(self, service: Service, *, drain_timeout: float, end: Callable[[int], object] = os._exit) -> None:
        self._service = service
        self._drain_timeout = drain_timeout
        self._end = end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=_NAME, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        seen, looked = 0, time.monotonic()
        while not self._over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if now - looked > _LOOK_SECONDS + _LATE_SECONDS:
                self._service.beat()  # what the loop waits for may take as long as ever from here on
            looked = now
            problem = self._problem()
            seen = seen + 1 if problem is not None else 0
            if problem is not None and seen >= _LOOKS:
                self._service.health.fail(problem)
                tell_stacks(problem)
                if not self._over.wait(_LAST_SECONDS):
                    self._end(1)
                return

    def _problem(self) -> str | None:
        if self._service.is_asking():
            self._service.beat()
        if not self._service.draining(self._drain_timeout + _GRACE_SECONDS):
            return f"the shutdown has not come to its end {_GRACE_SECONDS:.0f} s after its time was over"
        live, why = self._service.health.live()
        return None if live else f"the loop hangs: {why}"


def tell_stacks(problem: str) -> None:
    """Log a problem, and below it where each thread is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = [
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame)).rstrip()}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - the way to see all of them
        if names.get(ident) != _NAME
    ]
    _log.critical("%s; the stacks of all threads:\n%s", problem, "\n".join(stacks))
