"""The CloudEvents headers of a Kafka message in binary mode (CloudEvents 1.0, Kafka protocol binding)."""

from __future__ import annotations

import datetime

from aestream.types import Headers

_LAST_MILLISECOND = 253_402_300_799_000  # the end of the year 9999


def event(kind: str, *, source: str, place: str, timestamp: int) -> Headers:
    """Describe the event about the record at a `place`; `timestamp` is its own, in milliseconds since the epoch."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", place.encode()),
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
