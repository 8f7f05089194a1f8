"""The CloudEvents headers of a Kafka message in binary mode (CloudEvents 1.0, Kafka protocol binding)."""

from __future__ import annotations

import datetime

from aestream.types import Headers, Partition

_LAST_MILLISECOND = 253_402_300_799_000  # the end of the year 9999


def event(kind: str, *, source: str, partition: Partition, offset: int, timestamp: int) -> Headers:
    """Describe the event about one record; `timestamp` is the record's, in milliseconds since the epoch."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{partition.topic}/{partition.partition}/{offset}".encode()),
        ("ce_source", source.encode()),
        ("ce_type", kind.encode()),
        ("ce_time", _rfc3339(timestamp)),
    )


def _rfc3339(milliseconds: int) -> bytes:
    # A record's timestamp is whatever its producer wrote: keep to what a calendar can show.
    within = min(max(milliseconds, 0), _LAST_MILLISECOND)
    moment = datetime.datetime.fromtimestamp(within / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
