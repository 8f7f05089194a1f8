"""Looks for a new current version on a thread of its own, and loads it there, so that the stream never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from aestream.errors import AestreamError, ModelError
from aestream.registry.base import Registry
from aestream.registry.fallback import fall_back

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A look at the store that found no usable current version.

    `version` is the current one, None if the store does not say which it is; `serving` is the version in use all the
    same, None if there is none.
    """

    version: str | None
    why: str
    serving: str | None


class Listener(Protocol):
    """Receives what each look finds, on the watcher's thread."""

    def loaded(self, version: str) -> None:
        """The current version has loaded, and waits to be taken."""
        ...

    def unchanged(self, version: str | None) -> None:
        """The current version loads and is in use already; None: the store has no model yet."""
        ...

    def failed(self, failure: Failure, *, news: bool) -> None:
        """The current version cannot be used; `news` is False if this was reported before."""
        ...


class Watcher(Generic[T]):
    """Polls `registry` every `interval` seconds and calls `load(version)` when the current version has changed.

    `take` hands over each loaded version once. A current version that does not load is reported at every look, until it
    does or the pointer moves. Meanwhile the version in use stays in use; if there is none yet, the newest older version
    that loads is handed over in its place.
    """

    def __init__(self, registry: Registry, load: Callable[[str], T], *, interval: float, listener: Listener) -> None:
        self.failure: Failure | None = None  # of the last look
        self._registry = registry
        self._load = load
        self._interval = interval
        self._listener = listener
        self._using: str | None = None  # the version that was handed over last
        self._good: str | None = None  # the current version, once it has loaded
        self._loaded: T | None = None
        self._lock = threading.Lock()
        self._asked: SimpleQueue[None] = SimpleQueue()  # a signal handler may call put, but not Event.set
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watcher", daemon=True)

    @property
    def place(self) -> str:
        """Where it looks, for messages."""
        return self._registry.place

    def start(self) -> None:
        """Start looking; the first look is immediate."""
        self._thread.start()

    def look_now(self) -> None:
        """Look now; load the current version again even if it is in use, and report it."""
        self._asked.put(None)

    def take(self) -> T | None:
        """What was loaded since the last call, if anything."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
        return loaded

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()
        self._asked.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        asked = False
        while not self._stopped.is_set():
            self._look(asked=asked)
            try:
                self._asked.get(timeout=self._interval)
            except Empty:
                asked = False
            else:
                asked = True
                while not self._asked.empty():  # one look answers all requests
                    self._asked.get()

    def _look(self, *, asked: bool = False) -> None:
        version = None
        try:
            version = self._current()
            if version is None or (version == self._good and not asked):
                self.failure = None
                if asked:
                    self._listener.unchanged(None)
                return
            loaded = self._load(version)
        except AestreamError as error:
            self._fail(version, str(error), asked=asked)
            return
        except Exception as error:  # noqa: BLE001 - whatever a damaged file raises, this thread keeps looking
            self._fail(version, f"it cannot be loaded: {type(error).__name__}: {error}", asked=asked)
            return
        self.failure = None
        self._good = version
        if version == self._using:
            self._listener.unchanged(version)
        else:
            self._hand_over(version, loaded)
            self._listener.loaded(version)

    def _current(self) -> str | None:
        version = self._registry.current()
        if version is None and self._using is not None:
            raise ModelError(f"the store of the model {self._registry.model!r} is empty: is it still mounted?")
        return version

    def _fail(self, version: str | None, why: str, *, asked: bool) -> None:
        self._good = None
        if self._using is None and version is not None:
            older = fall_back(self._registry, version, self._load)
            if older is not None:
                self._hand_over(*older)
        failure = Failure(version, why, self._using)
        news = asked or failure != self.failure
        self.failure = failure
        self._listener.failed(failure, news=news)

    def _hand_over(self, version: str, loaded: T) -> None:
        self._using = version
        with self._lock:
            self._loaded = loaded
