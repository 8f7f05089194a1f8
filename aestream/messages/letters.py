"""Dead letters as they are read back: what each says about its record, and the record itself."""

from __future__ import annotations

from dataclasses import dataclass

from aestream.messages.dead_letters import PREFIX, own_headers
from aestream.types import Batch, Headers, Partition

FOREIGN = "foreign"  # the reason of a message that no worker has written as a dead letter


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of a dead-letter topic: where it is, and, as far as it says so, the record that it is about.

    `reason` is one of Reason, or FOREIGN. `source` and `offset` are the place of the record, `stamp` is its timestamp;
    both times are in milliseconds since the epoch. `cut` is the length of the record's value if the letter has only a
    part of it.
    """

    partition: Partition
    place: int
    time: int
    reason: str
    error: str
    source: Partition | None
    offset: int
    stamp: int | None
    cut: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def name(self) -> str:
        """TOPIC/PARTITION/OFFSET of the letter."""
        return f"{self.partition.topic}/{self.partition.partition}/{self.place}"

    @property
    def origin(self) -> str:
        """TOPIC/PARTITION/OFFSET of its record; empty if it does not say."""
        return "" if self.source is None else f"{self.source.topic}/{self.source.partition}/{self.offset}"

    @property
    def refusal(self) -> str | None:
        """Why its record cannot be had from it; None if it can."""
        if self.source is None:
            return "it does not say where its record came from: it is not a dead letter of aestream"
        if self.cut is not None:
            return (
                f"it was cut ({self.cut} bytes at first): the record is at {self.origin}, as long as its topic keeps it"
            )
        return None


def letters(batch: Batch) -> list[Letter]:
    """Read every message of a batch, whatever it is."""
    columns = zip(batch.sources, batch.offsets, batch.timestamps, batch.keys, batch.values, batch.headers, strict=True)
    return [_letter(*message) for message in columns]


def _letter(
    partition: Partition, place: int, time: int, key: bytes | None, value: bytes | None, headers: Headers | None
) -> Letter:
    told = {name.removeprefix(PREFIX): content or b"" for name, content in headers or () if name.startswith(PREFIX)}
    words = {name: content.decode(errors="replace") for name, content in told.items()}
    number, offset = _number(words.get("partition")), _number(words.get("offset"))
    source = None
    if words.get("topic") and number is not None and offset is not None:
        source = Partition(words["topic"], number)
    return Letter(
        partition,
        place,
        time,
        FOREIGN if source is None else words.get("error_type", "") or FOREIGN,
        words.get("error", ""),
        source,
        offset or 0,
        _number(words.get("timestamp")),
        None if "truncated" not in words else _number(words["truncated"]) or 0,
        key,
        value,
        own_headers(headers or ()),
    )


def _number(text: str | None) -> int | None:
    """A whole number from 0; None for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None  # noqa: PLR2004
