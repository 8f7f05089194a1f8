"""Entities that are spread over several partitions of a topic: each partition remembers only its own part of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aestream.state.entities import Entities
from aestream.types import Key, Partition, Split

_SHOWN = 100  # characters of a key in a line


class Splits:
    """Counts the entities that turn up in a second partition of their topic.

    They are looked for only when an entity is new in a partition, so ordinary records cost nothing. The same key in
    another topic is another entity. One that was forgotten and comes back counts again.
    """

    def __init__(self) -> None:
        self.count = 0
        self.example: Split | None = None

    def see(self, part: Partition, new: Sequence[Key], parts: Iterable[tuple[Partition, Entities]]) -> None:
        """Count those of the entities `new` in `part` that one other partition of the topic already had."""
        once, twice = dict[Key, Partition](), set[Key]()
        for other, entities in parts:
            if other != part and other.topic == part.topic:
                for key in entities.among(new):
                    if once.setdefault(key, other) != other:
                        twice.add(key)
        self.count += len(once) - len(twice)
        if self.example is None and once:
            key = next(key for key in new if key in once)
            self.example = Split(key, (once[key], part))

    def take(self) -> int:
        """How many there were since the last call."""
        count, self.count = self.count, 0
        return count


def in_words(key: Key) -> str:
    """An entity's key for a line of text; a long one is cut."""
    if is_nothing(key):
        return "records without a key"
    text = repr(key)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def is_nothing(key: Key) -> bool:
    """Whether a key lacks all of its parts."""
    return all(part is None for part in (key if isinstance(key, tuple) else (key,)))
