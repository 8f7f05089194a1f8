"""Topics read on a thread of their own, as messages arrive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Self

from aestream.errors import AestreamError, TransportError
from aestream.types import Batch

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class Follower:
    """Reads what `follow()` yields on a separate thread, without end; `take` hands it over."""

    def __init__(self, follow: Callable[[], Iterator[Batch]]) -> None:
        self._follow = follow
        self._arrived: queue.SimpleQueue[Batch | AestreamError] = queue.SimpleQueue()
        self._begun = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="follower", daemon=True)

    def start(self) -> Self:
        """Start reading."""
        self._thread.start()
        return self

    def wait_until_reading(self) -> None:
        """Wait until it has found its start: everything published from now on will be read. Raises TransportError."""
        if not self._begun.wait(_START_SECONDS):
            raise TransportError("the result topics cannot be read: does the broker answer?")

    def take(self) -> Iterator[Batch]:
        """Yield what has arrived since the last call. Raises the error that ended the reading, if any."""
        while True:
            try:
                arrived = self._arrived.get_nowait()
            except queue.Empty:
                return
            if isinstance(arrived, AestreamError):
                raise arrived
            yield arrived

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def _read(self) -> None:
        try:
            for batch in self._follow():
                self._begun.set()
                if len(batch):
                    self._arrived.put(batch)
                if self._stop.is_set():
                    break
        except AestreamError as error:
            self._arrived.put(error)
            self._begun.set()
