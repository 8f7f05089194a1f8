"""What the tests of the demo share: a small feed, and the messages that answer it."""

from __future__ import annotations

import msgspec
import numpy as np

from aestream.demo.dataset import Recording
from aestream.demo.feed import Feed
from aestream.demo.incidents import Incident
from aestream.messages.episodes import Episode
from aestream.messages.scores import FeatureShare, Origin, Score
from aestream.types import Batch, Partition, Span

TOPICS = {"input": "in", "scores": "out", "anomalies": "bad", "dead letters": "dead"}


def message(
    offset: int, value: float, *, top: str | None = None, level: str | None = None, episode: Episode | None = None
) -> bytes:
    """A score, above 1 an anomaly; `top` is the feature that shows it."""
    features = [FeatureShare(top, 9.0, 1.0, 0.8)] if top else None
    origin = Origin("in", 0, offset, 900 + offset)
    told = Score(value, value > 1, value / 2, 0.5, 0.1, "scored", "m@1", origin, None, features=features)
    return msgspec.json.encode(msgspec.structs.replace(told, level=level, episode=episode))


def batch(topic: str, values: list[bytes], *, headers: list[tuple[tuple[str, bytes], ...]] | None = None) -> Batch:
    """Messages of a topic, published 10 ms apart."""
    n = len(values)
    stamps = [1_500 + 10 * i for i in range(n)]
    return Batch([Span(Partition(topic, 0), 0, n)], range(n), stamps, [None] * n, values, headers or [()] * n)


def recording(rows: int = 10) -> Recording:
    """A leak in rows 2 and 3, and a freeze in row 7."""
    label = np.zeros(rows, bool)
    label[[2, 3, 7]] = True
    incidents = (Incident("a leak", 2, 3, ("cpu",)), Incident("a freeze", 7, 7, ("disk",)))
    data = np.arange(2.0 * rows).reshape(rows, 2)
    return Recording("test.npz", ("cpu", "disk"), data, data, label, incidents)


def feed(rows: int) -> Feed:
    """Half of the rows each from web-1 and web-2, in turns."""
    return Feed.of("test.npz", {"web-1": recording(rows // 2), "web-2": recording(rows // 2)})
