"""What the probes ask of a service."""

from __future__ import annotations

import time
from collections.abc import Callable


class Health:
    """What the probes ask: whether the loop makes progress, and what the service still waits for.

    `stale_after` is in seconds; `clock` returns seconds and never runs back.
    """

    def __init__(self, *, stale_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_after = stale_after
        self._clock = clock
        self._last = clock()
        self._waiting: str | None = "starting"
        self._failed: str | None = None

    def fail(self, why: str) -> None:
        """The service will not recover: it is not live any more, whatever beats."""
        self._failed = why

    @property
    def failed(self) -> bool:
        """Whether it is known that the service will not recover."""
        return self._failed is not None

    def beat(self) -> None:
        """Note that the loop has run once more. A broker that is away does not stop it."""
        self._last = self._clock()

    def wait_for(self, what: str | None) -> None:
        """Say what the service waits for before it is ready; None makes it ready."""
        self._waiting = what

    def live(self) -> tuple[bool, str]:
        """Whether the loop has run lately, and if not, or if it will not recover, why."""
        if self._failed is not None:
            return False, self._failed
        age = self._clock() - self._last
        return age <= self._stale_after, f"last progress {age:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Whether the service does its work, and if not, what it waits for."""
        waiting = self._waiting
        return waiting is None, "ready" if waiting is None else f"waiting: {waiting}"
