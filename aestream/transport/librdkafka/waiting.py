"""A limit of time for calls of librdkafka that have none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from aestream.errors import NoAnswerError

_Answer = TypeVar("_Answer")


class Call(Generic[_Answer]):
    """A call on a thread of its own, which may outlive the patience of whoever waits for it."""

    def __init__(self, work: Callable[[], _Answer]) -> None:
        self._work = work
        self._done = threading.Event()
        self._answer: list[_Answer] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="librdkafka call", daemon=True).start()

    def wait(self, timeout: float) -> _Answer:
        """What the call returns or raises. Raises NoAnswerError if it is not over in `timeout` seconds."""
        if not self._done.wait(timeout):
            raise NoAnswerError(f"no answer from Kafka in {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def over(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether it is over, however that was."""
        return self._done.wait(timeout)

    def _run(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            self._error = error
        finally:
            self._done.set()
