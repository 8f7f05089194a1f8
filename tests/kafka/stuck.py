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
from aestream.transport.librdkafka.source import ConfluentSource

_poll, _take, _score = KafkaSource._poll, ConfluentSource._take, Pipeline.score
_seen = [0]


def poll(source: KafkaSource, timeout: float, room: int) -> Any:
    """Nothing, once something has come."""
    if _seen[0]:
        time.sleep(timeout)
        return {}
    found = _poll(source, timeout, room)
    _seen[0] += len(found)
    return found


def take(source: ConfluentSource, count: int, timeout: float) -> Any:
    """The same over librdkafka."""
    if _seen[0]:
        time.sleep(timeout)
        return []
    found = _take(source, count, timeout)
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
        ConfluentSource._take = take  # type: ignore[method-assign,assignment]
    else:
        worker._STALE_SECONDS = 3.0
        Pipeline.score = score  # type: ignore[method-assign,assignment]
    sys.exit(main(["worker"]))
