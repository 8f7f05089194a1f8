"""Bytes to a JSON document, and in plain words why some bytes are none."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence

import msgspec

from aestream.types import Reason

# What msgspec raises for a value that is not JSON; RecursionError for absurdly deep nesting.
UNDECODABLE = (msgspec.MsgspecError, RecursionError, ValueError)
_FRAME_BYTES = 5  # a zero and four bytes of the schema's id, which a schema registry's serializers put first
_FORMATS = {
    b"\x1f\x8b": "gzip data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"\x04\x22\x4d\x18": "lz4 data",
    b"\x82SNAPPY": "snappy data",
    b"PK\x03\x04": "a zip archive",
    b"Obj\x01": "an Avro file",
    b"PAR1": "a Parquet file",
}


class Refused(Exception):  # noqa: N818 - what happened to the record
    """A record that cannot be used: the reason, and a message for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def unframed(values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """The values without a schema registry's five bytes before JSON, if the first value begins with them."""
    if not values or not _is_framed(values[0]):
        return values
    return [
        value[_FRAME_BYTES:] if value and _is_framed(value) and value[_FRAME_BYTES] in b"{[" else value
        for value in values
    ]


def parse(value: bytes | None, max_bytes: int) -> object:
    """The document that a value holds, behind a byte order mark or a schema registry's five bytes if need be.

    NaN, Infinity and -Infinity are read as such. Raises Refused for an empty value, one of more than `max_bytes`, and
    one that is not JSON.
    """
    if not value:
        raise Refused(Reason.EMPTY, "the value is empty")
    if len(value) > max_bytes:
        raise Refused(Reason.TOO_LARGE, f"{len(value)} bytes, more than the limit of {max_bytes}")
    try:
        return msgspec.json.decode(value)
    except UNDECODABLE:
        pass
    body = value[_FRAME_BYTES:] if _is_framed(value) else value
    text = body.removeprefix(codecs.BOM_UTF8).decode(errors="replace")
    try:
        document = _loaded(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair can be written nowhere
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.BAD_JSON, _complaint(value, text, error)) from None
    return document


def _is_framed(value: bytes | None) -> bool:
    return value is not None and len(value) > _FRAME_BYTES and not value[0] and any(value[1:_FRAME_BYTES])


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of thousands of digits: a number, though an infinite one
        return json.loads(text, parse_int=float)


def _complaint(value: bytes, text: str, error: BaseException) -> str:
    """Why a value is not JSON."""
    if _is_framed(value):
        schema = int.from_bytes(value[1:_FRAME_BYTES], "big")
        return f"Avro or Protobuf behind a schema registry (schema {schema}), which is not read: send JSON"
    for magic, what in _FORMATS.items():
        if value.startswith(magic):
            return f"{what}, which is not read: send JSON, and let the Kafka producer compress"
    if not text.lstrip()[:1].isprintable() or "\x00" in text or (text[:1] not in {"{", "["} and "\ufffd" in text):
        return "binary data, not JSON in UTF-8"
    if isinstance(error, RecursionError):
        return "not read: nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return "not read: a text in it has half of a surrogate pair, which is no character"
    return f"not JSON: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
