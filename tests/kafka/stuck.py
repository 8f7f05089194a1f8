"""A worker that gets stuck once it has scored something: `python -m tests.kafka.stuck client|loop`.

In the client, polls return nothing any more. In the loop, a batch is never done.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from aestream.app import worker
from aestream.cli import main
from aestream.pipeline import Pipeline
from aestream.transport.kafka_python.source import KafkaSource

_poll, _score = KafkaSource._poll, Pipeline.score
_seen = [0]


def poll(source: KafkaSource, timeout: float, room: int) -> Any:
    """Nothing, once something has come."""
    if _seen[0]:
        time.sleep(timeout)
        return {}
    found = _poll(source, timeout, room)
    _seen[0] += len(found)
    return found


def score(pipeline: Pipeline, *given: Any) -> Any:
    """The first batch only."""
    while _seen[0]:
        time.sleep(1)
    _seen[0] = 1
    return _score(pipeline, *given)


if __name__ == "__main__":
    if sys.argv[1] == "client":
        KafkaSource._poll = poll  # type: ignore[method-assign,assignment]
    else:
        worker._STALE_SECONDS = 3.0
        Pipeline.score = score  # type: ignore[method-assign,assignment]
    sys.exit(main(["worker"]))
