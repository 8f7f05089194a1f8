"""The CloudEvents headers of a Kafka message in binary mode (CloudEvents 1.0, Kafka protocol binding)."""

from __future__ import annotations

import datetime

from aestream.types import Headers, Partition

_LAST_MILLISECOND = 253_402_300_799_000  # the end of the year 9999


def event(
    kind: str, *, source: str, partition: Partition, offset: int, timestamp: int, element: int | None = None
) -> Headers:
    """Describe the event about one record; `timestamp` is the record's, in milliseconds since the epoch.

    `element` is the record's place in a message that holds several.
    """
    place = "" if element is None else f"/{element}"
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{partition.topic}/{partition.partition}/{offset}{place}".encode()),
        ("ce_source", source.encode()),
        ("ce_type", kind.encode()),
        ("ce_time", _rfc3339(timestamp)),
    )


def moment(milliseconds: int) -> datetime.datetime:
    """A record's timestamp as a time in UTC, limited to the years that a calendar can show."""
    within = min(max(milliseconds, 0), _LAST_MILLISECOND)
    return datetime.datetime.fromtimestamp(within / 1000, datetime.UTC)


def _rfc3339(milliseconds: int) -> bytes:
    return moment(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
