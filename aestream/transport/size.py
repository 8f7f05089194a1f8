"""The size of messages, so that one that is too large for its topic is known before it is sent."""

from __future__ import annotations

from aestream.types import Headers, Outgoing

_FRAMING_BYTES = 256  # more than the protocol adds to a message that is sent alone
_FIELD_BYTES = 8  # the same for a header
_HEADERS_BYTES = 4096  # more than a result's own headers
_LEAST_BYTES = 1024  # a topic that does not accept this much accepts no result at all


def message_bytes(value: bytes | None, key: bytes | None, headers: Headers = ()) -> int:
    """The most bytes that a message takes in its topic."""
    return len(value or b"") + len(key or b"") + headers_bytes(headers) + _FRAMING_BYTES


def headers_bytes(headers: Headers) -> int:
    """The bytes that headers take."""
    return sum(len(name) + len(content or b"") + _FIELD_BYTES for name, content in headers)


def too_large(messages: Outgoing, limit: int) -> list[tuple[int, int]]:
    """The places of the messages that are larger than `limit`, and how many bytes each of them takes.

    The common case, that all fit, costs two passes in C.
    """
    longest = max(map(len, filter(None, messages.values)), default=0)
    longest += max(map(len, filter(None, messages.keys)), default=0)
    if longest + _FRAMING_BYTES + (_HEADERS_BYTES if messages.headers else 0) <= limit:
        return []
    headers = messages.headers or [()] * len(messages)
    sizes = map(message_bytes, messages.values, messages.keys, headers)
    return [(place, size) for place, size in enumerate(sizes) if size > limit]


def lower_limit(refused: int, limit: int) -> int | None:
    """What to try once a topic, believed to accept `limit` bytes, has refused a message; None if that is too little."""
    lower = min(refused, limit) // 2
    return None if lower < _LEAST_BYTES else lower
