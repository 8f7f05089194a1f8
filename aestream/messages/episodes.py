"""Episodes as messages tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from aestream.types import Key, Partition, Phase, Vector

# A longer key is cut in the JSON, as is a field of an entity; the message's own key stays whole.
KEY_CHARACTERS = 1024

# The `state` of an episode, as messages have it.
OPENED, ONGOING, CLOSED = (phase.name.lower() for phase in (Phase.OPENED, Phase.ONGOING, Phase.CLOSED))

_LATEST = 253_402_300_799.0  # the year 9999, in seconds since 1970


class Part(msgspec.Struct, gc=False):
    """One feature's part in the anomalies of an episode so far; the shares of all features add up to 1."""

    name: str
    share: float


class Episode(msgspec.Struct, omit_defaults=True, gc=False):
    """The anomalies of one entity that are close in time: what people are paged for.

    `id` is the same for all of its messages. `state`: opened, ongoing or closed. `since`: when it began, in
    milliseconds since the epoch. `worst`: its highest score so far. `incident`: the id of the first of the episodes
    that belong together, its own if it is the first; it may be unknown.
    """

    id: str
    state: str
    since: int
    worst: float
    features: list[Part]
    incident: str | None = None


def episode(
    source: Partition,
    key: Key,
    phase: Phase,
    *,
    since: float,
    worst: float,
    share: Vector,
    names: Sequence[str],
    most: int,
) -> Episode:
    """The episode of the entity `key` of a partition, that began at `since`, in seconds.

    `share` (d,) is each feature's part in it, `names` (d,) are theirs; the `most` largest are told.
    """
    began = milliseconds(since)
    identity = f"{source.topic}/{source.partition}/{text_of(key)[:KEY_CHARACTERS]}/{began}"
    parts = [Part(names[place], float(share[place])) for place in np.argsort(-share, kind="stable")[:most].tolist()]
    return Episode(identity, phase.name.lower(), began, worst, parts)


def milliseconds(moment: float) -> int:
    """A time in seconds as messages have it; -inf is one without any time."""
    return round(1000 * min(max(moment, 0.0), _LATEST))


def text_of(key: Key) -> str:
    """An entity's key as text."""
    return ",".join(map(text_of, key)) if isinstance(key, tuple) else "" if key is None else str(key)


def fields_of(key: Key, names: Sequence[str]) -> Mapping[str, str]:
    """The fields with these names, one for each part of an entity's key; without those that it lacks.

    A key with another number of parts was kept under other names: what these were is not known.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) != len(names):
        return {}
    return {name: str(text) for name, text in zip(names, parts, strict=True) if text is not None}
