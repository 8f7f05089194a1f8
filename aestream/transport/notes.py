"""What a commit says beside its offset: a line of text, which begins with `aestream` whatever else it says.

For example `aestream partitions=8 model=20260101T120000Z entities=1200 moved=31`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from aestream.types import Standing

_MARK = "aestream"
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
_MAX_BYTES = 1000  # Kafka accepts 4096 by default


@dataclass(frozen=True, slots=True)
class Note:
    """What the note of one partition says.

    `partitions`: how many the topic had when the group began to read it. `standing`: what is remembered of the
    partition's entities. Each is None while it is not known.
    """

    partitions: int | None = None
    standing: Standing | None = None

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Read the text of a commit; None if it is not aestream's. Parts that are not known are passed over."""
        mark, *parts = (text or "").rstrip("\0").split() or [""]  # confluent-kafka sends C's end of a text with it
        if mark != _MARK:
            return None
        told = dict(part.split("=", 1) for part in parts if "=" in part)
        partitions, entities, moved = (_count(told.get(name)) for name in ("partitions", "entities", "moved"))
        if entities is None or moved is None:
            return cls(partitions)
        return cls(partitions, Standing(tuple(filter(None, told.get("model", "").split(","))), entities, moved))

    def __str__(self) -> str:
        parts = [_MARK]
        if self.partitions is not None:
            parts.append(f"partitions={self.partitions}")
        if self.standing is not None:
            counts = f"entities={self.standing.entities} moved={self.standing.moved}"
            room = _MAX_BYTES - len(" ".join([*parts, "model=", counts]).encode())
            parts += [f"model={_fitting(self.standing.versions, room)}", counts]
        return " ".join(parts)


def _fitting(versions: tuple[str, ...], room: int) -> str:
    """The versions that fit into so many bytes: of many, the last ones."""
    while len(text := ",".join(versions)) > room:
        versions = versions[1:]
    return text


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text) else None
