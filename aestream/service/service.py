"""A service as the outside sees it: signals end it, the probes and the service manager hear how it is."""

from __future__ import annotations

import time

from aestream.service import systemd
from aestream.service.health import Health
from aestream.service.stop import Stop


class Service:
    """What worker and trainer share: the stop that is asked for, the heartbeat, readiness, and the end.

    `stale_after` is in seconds: a service that has not beaten for longer is not live.
    """

    def __init__(self, *, stale_after: float) -> None:
        self.health = Health(stale_after=stale_after)
        self.stop = Stop()

    def started(self, status: str) -> None:
        """Tell the service manager that the start is over, and what is being done; may be repeated."""
        systemd.notify(f"READY=1\nSTATUS={status}")

    def beat(self) -> None:
        """The service makes progress. A broker that is away does not stop it."""
        self.health.beat()
        systemd.notify("WATCHDOG=1")

    def wait_for(self, what: str | None) -> None:
        """Say what the service waits for before it is ready; None makes it ready."""
        self.health.wait_for(what)

    def draining(self, timeout: float) -> bool:
        """Whether there is time left to wait in: always before a stop is asked for, `timeout` seconds from then on."""
        return self.stop.since is None or time.monotonic() - self.stop.since < timeout

    def stopping(self) -> None:
        """The last steps of the service begin."""
        systemd.notify("STOPPING=1")
        self.health.wait_for("shutting down")
