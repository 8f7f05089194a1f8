"""Looks for a new current version on a thread of its own, and loads it there, so that the stream never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from aestream.errors import AestreamError, ModelError
from aestream.registry.base import Registry

T = TypeVar("T")


class Watcher(Generic[T]):
    """Polls `registry` every `interval` seconds and calls `load(version)` when the current version has changed.

    `take` hands a loaded version over once. A version that does not load is reported to `failed` at every look, until
    it does or the pointer moves; the one before is loaded anew then, which tells that all is well again.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[str], T],
        *,
        interval: float,
        failed: Callable[[AestreamError], None],
    ) -> None:
        self._registry = registry
        self._load = load
        self._interval = interval
        self._failed = failed
        self._seen: str | None = None
        self._loaded: T | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watcher", daemon=True)

    def start(self) -> None:
        """Begin to look; the first look is at once."""
        self._thread.start()

    def look_now(self) -> None:
        """Do not wait for the interval to pass."""
        self._wake.set()

    def take(self) -> T | None:
        """What was loaded since the last call, if anything."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
        return loaded

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._look()
            self._wake.wait(self._interval)
            self._wake.clear()

    def _look(self) -> None:
        try:
            version = self._registry.current()
            if version is None or version == self._seen:
                return
            loaded = self._load(version)
        except AestreamError as error:
            self._seen = None
            self._failed(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever a damaged file brings up, this thread goes on looking
            self._seen = None
            self._failed(ModelError(f"the current version cannot be loaded: {type(error).__name__}: {error}"))
            return
        self._seen = version
        with self._lock:
            self._loaded = loaded
