"""A worker that is wrong on purpose: it commits a batch before it publishes the results. The checker must see that."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from aestream.app import clients
from aestream.cli import main
from aestream.transport.base import Sink, Source
from aestream.transport.delivery import AtLeastOnce
from aestream.types import Batch, Outgoing

_SECONDS = 0.3  # between a commit and its results: where a kill finds it


class CommitsFirst(AtLeastOnce):
    """The steps of at-least-once in the wrong order."""

    def __init__(self, source: Source, sink: Sink) -> None:
        super().__init__(source, sink)
        self._held: list[Outgoing] = []

    def publish(
        self, results: Sequence[Outgoing], *, patience: Callable[[], bool], topic_by_topic: bool = False
    ) -> None:
        """Hold them back."""
        del patience, topic_by_topic
        self._held += results

    def commit(self, batch: Batch, *, patience: Callable[[], bool]) -> bool:
        """Commit, and only then publish."""
        done = super().commit(batch, patience=patience)
        held, self._held = self._held, []
        if held:
            time.sleep(_SECONDS)
            super().publish(held, patience=patience)
        return done


if __name__ == "__main__":
    clients.DELIVERIES = {"at_least_once": CommitsFirst}
    sys.exit(main(sys.argv[1:]))
