"""When Python's garbage collector runs: rarely, and not over objects that stay.

Every message that is sent makes a few objects that live until it is acknowledged. By default the collector would scan
them, and everything that is loaded, every few hundred messages: a third of a worker's processor time
(`make bench`). Few of these objects are part of a cycle, and those that are get collected all the same, a little later.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable

# How many more objects are made than freed before generation 0 is collected, how often that happens before generation 1
# is collected, and so on. A batch of 5,000 records in flight is about 60,000 objects.
_THRESHOLDS = (200_000, 20, 100)
_MOST_BYTES = 64 * 2**20


class Passing:
    """Counts the bytes that go through a service: cycles of a few objects may keep large values for a long time."""

    def __init__(self) -> None:
        self._bytes = 0

    def passed(self, values: Iterable[bytes | None]) -> None:
        """Collect once enough has gone through: what is frozen is not looked at, so that takes a few milliseconds."""
        self._bytes += sum(map(len, filter(None, values)))
        if self._bytes > _MOST_BYTES:
            self._bytes = 0
            gc.collect()


def settle() -> None:
    """Collect what the previous model left behind, and exempt everything that is alive from later collections.

    This takes a tenth of a second or so: call it between two batches, after a change of the model.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def release() -> None:
    """Let the collector see all objects again, so that libraries can clean up at the end."""
    gc.unfreeze()
