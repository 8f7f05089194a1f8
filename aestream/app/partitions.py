"""Whether all records of an entity are in one partition, as a worker that remembers entities needs them to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aestream.codecs.base import Codec
from aestream.codecs.marks import keys_of
from aestream.columns import MISSING
from aestream.features.roles import Roles, texts
from aestream.features.schema import lookup
from aestream.state.splits import in_words, is_nothing
from aestream.transport.base import History
from aestream.types import Batch, Key, Partition

REMEDY = (
    "a worker judges each part by itself. Produce the records of an entity with the same message key, or name in `key` "
    "what the topic is keyed by"
)


def find_splits(history: History, codec: Codec, roles: Roles, *, records: int, keyless: bool) -> str | None:
    """Say which entities in the newest records are spread over several partitions of a topic; None if none is.

    `keyless`: whether records without a key are an entity too. Raises TransportError when a topic cannot be read.
    """
    parts: dict[tuple[str, Key], set[Partition]] = {}
    for batch in history.read(records=records, period=None):
        for span in batch.spans:
            for key in set(_keys(batch, slice(span.start, span.stop), codec, roles)):
                parts.setdefault((span.partition.topic, key), set()).add(span.partition)
    known = {named: found for named, found in parts.items() if keyless or not is_nothing(named[1])}
    split = {named: sorted(found) for named, found in known.items() if len(found) > 1}
    if not split:
        return None
    (_, key), found = min(split.items(), key=str)
    by = f"such as {in_words(key)} over " + " and ".join(f"{topic}/{number}" for topic, number in found[:2])
    share = f"{len(split)} of {len(known)} entities in the newest records"
    return f"{share} are spread over several partitions, {by}: {REMEDY}"


def _keys(batch: Batch, rows: slice, codec: Codec, roles: Roles) -> Sequence[Key]:
    """The entities of these messages."""
    if not roles.key:
        return keys_of(batch.keys[rows])
    found = [record for records in codec.documents(batch.values[rows]) for record in records]
    columns = [texts([_field(record, name) for record in found]) for name in roles.key]
    return list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))


def _field(record: Mapping[str, Any], name: str) -> Any:
    value = lookup(record, (name,) if name in record else tuple(name.split(".")))
    return None if value is MISSING or isinstance(value, dict | list) else value
