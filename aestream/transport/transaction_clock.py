"""How long a transaction has been open, and whether that is too long: the broker ends one that is."""

from __future__ import annotations

import time

from aestream.errors import TransactionError

_MARGIN_SECONDS = 2.0  # beyond the time that a transaction may take


class TransactionClock:
    """Of the transactions of one producer, each of which may take `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._since: float | None = None

    @property
    def running(self) -> bool:
        """Whether a transaction has begun, and is not known to be over."""
        return self._since is not None

    def start(self) -> None:
        """A transaction begins."""
        self._since = time.monotonic()

    def stop(self) -> None:
        """It is over."""
        self._since = None

    def check(self) -> None:
        """Raise TransactionError once the broker has ended the transaction, or will, because it takes too long."""
        if self._since is not None and time.monotonic() - self._since > self.timeout + _MARGIN_SECONDS:
            raise TransactionError(f"it took longer than {self.timeout:g} s (`transaction_timeout_ms`)")
