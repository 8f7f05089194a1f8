"""The message that ends an episode where no record's own message does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from aestream.messages.cloudevents import event
from aestream.messages.episodes import KEY_CHARACTERS, Episode
from aestream.transport.size import message_bytes
from aestream.types import Headers, Outgoing, Partition

CLOSING_TYPE = "io.aestream.episode.v1"


class Ending(StrEnum):
    """Why an episode ends without a message about a record: the `status` of a closing."""

    SILENT = "silent"
    TOO_LARGE = "too_large"


class Place(msgspec.Struct, gc=False):
    """The partition of an entity; `timestamp` is the time of its last record, in milliseconds since the epoch."""

    topic: str
    partition: int
    timestamp: int


class Closing(msgspec.Struct, omit_defaults=True, gc=False):
    """The end of an episode, not of a record. docs/closing.schema.json describes it.

    `anomaly` is false. `status`: silent, nothing has come from the entity for longer than usual; or too_large, the
    result of the record that ends the episode does not fit into the topic. `key`: the entity's, as text, or that of the
    record. `entity`: the fields that tell entities apart, as text. The state of the `episode` is closed.
    """

    anomaly: bool
    status: str
    model: str
    source: Place
    key: str | None
    episode: Episode
    entity: dict[str, str] | None = None


class Ended(NamedTuple):
    """An episode that is over, for a closing; `at` is the time of the last record, in milliseconds since the epoch."""

    why: Ending
    source: Partition
    key: bytes | None
    entity: Mapping[str, str]
    episode: Episode
    at: int


def closings(topic: str, model: str, ended: Sequence[Ended], max_bytes: int) -> Outgoing:
    """The messages that end these episodes.

    One that would not fit into `max_bytes` has no key; if that does not help, it is left out.
    """
    values, keys, sources, headers = list[bytes](), list[bytes | None](), list[Partition](), list[Headers]()
    for one in ended:
        value, about = msgspec.json.encode(_closing(one, model)), _headers(one, model)
        key = one.key if message_bytes(value, one.key, about) <= max_bytes else None
        if message_bytes(value, key, about) <= max_bytes:
            values.append(value)
            keys.append(key)
            sources.append(one.source)
            headers.append(about)
    return Outgoing(topic, values, keys, sources, headers)


def _closing(one: Ended, model: str) -> Closing:
    entity = {name: text[:KEY_CHARACTERS] for name, text in one.entity.items()} or None
    key = None if one.key is None else one.key[: KEY_CHARACTERS * 4].decode(errors="replace")[:KEY_CHARACTERS]
    return Closing(False, one.why, model, Place(*one.source, one.at), key, one.episode, entity)


def _headers(one: Ended, model: str) -> Headers:
    about = event(CLOSING_TYPE, source=f"aestream/{model}", place=f"{one.episode.id}/closed", timestamp=one.at)
    return (*about, ("content-type", b"application/json"))
