"""A service as seen from outside: signals stop it, and probes and the service manager learn its state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aestream.service import systemd
from aestream.service.health import Health
from aestream.service.stop import Stop

_ANSWER_SECONDS = 180.0  # longer than any client waits for a broker


class Service:
    """What worker and trainer share: the request to stop, the heartbeat, readiness and the shutdown.

    A service without a heartbeat for more than `stale_after` seconds is not live.
    """

    def __init__(self, *, stale_after: float) -> None:
        self.health = Health(stale_after=stale_after)
        self.stop = Stop()
        self._ending: float | None = None  # when the shutdown began, in seconds of the monotonic clock
        self._asking_until: float | None = None

    def started(self, status: str) -> None:
        """Tell the service manager that the start is complete, and what the service does; may be repeated."""
        systemd.notify(f"READY=1\nSTATUS={status}")

    def beat(self) -> None:
        """Report progress. A broker that is away does not prevent it."""
        if not self.health.failed:
            self.health.beat()
            systemd.notify("WATCHDOG=1")

    @contextmanager
    def asking(self, seconds: float = _ANSWER_SECONDS) -> Iterator[None]:
        """Wait in this block for an answer from outside: for so many seconds, the service counts as alive."""
        self._asking_until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._asking_until = None
            self.beat()

    def is_asking(self) -> bool:
        """Whether it waits for such an answer."""
        until = self._asking_until
        return until is not None and time.monotonic() < until

    def wait_for(self, what: str | None) -> None:
        """Say what the service waits for before it is ready; None makes it ready."""
        self.health.wait_for(what)

    def draining(self, timeout: float) -> bool:
        """Whether there is time left to wait: always while it runs, and for `timeout` seconds once it is to end.

        The time runs from the request to stop, or from the shutdown if an error caused that.
        """
        since = self._since
        return since is None or time.monotonic() - since < timeout

    def left(self, timeout: float) -> float:
        """How many of these seconds are left, at least one: a connection that is closed in time says goodbye."""
        since = self._since
        return max(1.0, timeout if since is None else since + timeout - time.monotonic())

    @property
    def _since(self) -> float | None:
        """When it was asked to stop, or began to shut down; None while it runs."""
        return self._ending if self.stop.since is None else self.stop.since

    def stopping(self) -> None:
        """Note and report that the shutdown has begun."""
        self._ending = time.monotonic()
        systemd.notify("STOPPING=1")
        self.health.wait_for("shutting down")
