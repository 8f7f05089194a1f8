"""Bad input made from good messages: their bytes and their documents, changed at random."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Raw:
    """A piece of a document that is written as it is."""

    text: bytes


@dataclass(frozen=True)
class Pairs:
    """An object with these names, some of them perhaps twice."""

    items: tuple[tuple[str, Any], ...]


# Values that no good record has, where a number, a text, a boolean or an object belongs.
ODD: Sequence[Any] = (
    None, True, False, 0, -1, 1, -0.0, 1e-320, 1.7e308, -1.7e308, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**25,
    Raw(b"1e999"), Raw(b"-1e999"), Raw(b"NaN"), Raw(b"Infinity"), Raw(b"-Infinity"), Raw(b"1" * 400),
    Raw(b"9" * 5000), Raw(b"1." + b"3" * 5000), Raw(b"01"), Raw(b"+1"), Raw(b".5"), Raw(b"1."), Raw(b"0x10"),
    Raw(b"1_0"),
    Raw(b"1e-999"), Raw(b"-"), Raw(b"1e"), Raw(b"'a'"), Raw(b"undefined"), Raw(b"None"), Raw(b"nan"), Raw(b"True"),
    "", " ", "NaN", "nan", "N/A", "null", "-", "Infinity", "1e999", "1_000", "12.5", " 7 ", "0x1F", "1,5",
    "\u0661\u0662",
    "12.3 ms", "1e400 ms", "5 GiB", "1h2m", "9" * 400, "9" * 5000, "9" * 5000 + " ms", "1e5000 ms",
    "2026-11-01T00:00:00Z", "2026-13-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "24:00",
    "2026-W01-1",
    "\x00", "a\x00b", "\u2028", "\ufeff", "\U0001f600", "\u202e", "x" * 3000, "\n", "\x7f", "\x85",
    Raw(b'"\\ud800"'), Raw(b'"\\udc00\\ud800"'), Raw(b'"\xed\xa0\x80"'), Raw(b'"\xff"'),
    Raw(b'"\xc0\x80"'), Raw(b'"\x01"'),
    Raw(b'"\\x41"'), Raw(b'"\\u12"'), Raw(b'"\t"'),
    [], {}, [1], [None], [[]], [{}], {"": 1}, {"a": {"b": {}}}, {"name": "x", "value": 1}, [{"name": "x", "value": 1}],
    [{"name": "x", "value": 1}, {"name": "x", "value": 2}], {"\x00": 1}, {"__class__": 1}, {"$numberLong": "5"},
    Raw(b"[" * 300 + b"]" * 300), Raw(b"[" * 3000 + b"]" * 3000), Raw(b'{"a":' * 1500 + b"1" + b"}" * 1500),
    Raw(b"[" * 3000), Raw(b""), Raw(b","), Raw(b"}"), Raw(b"/* */1"),
)  # fmt: skip
# Bytes that mean something to a parser.
TOKENS: Sequence[bytes] = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u", b"\\ud83d", b"\x00", b"\xff", b"\xfe\xff",
    b"\xef\xbb\xbf", b"\xc3",
    b"\xe2\x82", b"\xf4\x90\x80\x80", b"null", b"NaN", b"-", b"1e999", b"e", b".", b"9" * 50, b"\n",
    b"\r\n", b"\t", b" " * 20,
    b"//", b"#", b"'", b"\x1f\x8b", b"\x00\x00\x00\x00\x01",
)  # fmt: skip


def mutated(good: bytes, rng: random.Random) -> bytes | None:
    """A good message with one change or a few: of its document, of its bytes, or of both."""
    kind = rng.random()
    if kind < 0.03:
        return rng.choice(WHOLE)(good, rng)
    value = good
    if kind < 0.85:
        document = json.loads(good)
        for _ in range(1 if rng.random() < 0.7 else rng.randint(2, 4)):
            document = _changed(document, rng)
        value = written(document)
    if kind > 0.75:
        for _ in range(rng.randint(1, 3)):
            value = rng.choice(_OF_BYTES)(value, rng)
    return value


def written(document: Any) -> bytes:
    """A document as JSON, with its raw pieces as they are."""
    if isinstance(document, Raw):
        return document.text
    if isinstance(document, dict):
        document = Pairs(tuple(document.items()))
    if isinstance(document, Pairs):
        return b"{" + b",".join(_text(name) + b":" + written(value) for name, value in document.items) + b"}"
    if isinstance(document, list):
        return b"[" + b",".join(map(written, document)) + b"]"
    return _text(document)


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def _changed(document: Any, rng: random.Random) -> Any:
    """A document with one change at a random place."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        name = rng.choice(list(document))
        inside = document[name]
        if isinstance(inside, dict | list) and rng.random() < 0.75:
            return {**document, name: _changed(inside, rng)}
        return _OF_FIELDS[rng.randrange(len(_OF_FIELDS))](dict(document), name, rng)
    if isinstance(document, list) and document and rng.random() < 0.9:
        place = rng.randrange(len(document))
        changed = copy.copy(document)
        if rng.random() < 0.2:
            changed.insert(place, rng.choice(ODD))
        elif rng.random() < 0.2:
            del changed[place]
        else:
            changed[place] = _changed(changed[place], rng)
        return changed
    return rng.choice(ODD)


_OF_FIELDS: Sequence[Callable[[dict[str, Any], str, random.Random], Any]] = (
    lambda of, name, rng: of | {name: rng.choice(ODD)},
    lambda of, name, rng: of | {name: rng.choice(ODD)},
    lambda of, name, rng: of | {name: rng.choice(ODD)},
    lambda of, name, _: {other: value for other, value in of.items() if other != name},
    lambda of, name, rng: Pairs((*of.items(), (name, rng.choice(ODD)))),  # twice, the second time odd
    lambda of, name, rng: Pairs(((name, rng.choice(ODD)), *of.items())),
    lambda of, name, _: of | {name: [of[name]]},
    lambda of, name, _: of | {name: {"value": of[name]}},
    lambda of, name, _: of | {name: written(of[name]).decode(errors="replace")},
    lambda of, name, rng: of | {rng.choice((f"{name}.{name}", name.upper(), f"{name}\x00", "", f" {name}")): of[name]},
    lambda of, name, _: of | {f"{name}{i}": i for i in range(300)},
    lambda of, name, rng: of | {f"{name}.a.b.c.d.e.f": rng.choice(ODD)},
    lambda of, *_: [of, of],
    lambda of, *_: written(of).decode(errors="replace"),
)


def _flip(value: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(value) or 1)
    return value[:at] + bytes([rng.randrange(256)]) + value[at + 1 :]


def _insert(value: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice(TOKENS) + value[at:]


def _delete(value: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + value[at + rng.randint(1, 8) :]


def _truncate(value: bytes, rng: random.Random) -> bytes:
    return value[: rng.randrange(len(value) + 1)]


def _again(value: bytes, rng: random.Random) -> bytes:
    first, second = sorted(rng.randrange(len(value) + 1) for _ in range(2))
    return value[:second] + value[first:]


_OF_BYTES: Sequence[Callable[[bytes, random.Random], bytes]] = (_flip, _insert, _delete, _truncate, _again)
# What takes the place of a whole message.
WHOLE: Sequence[Callable[[bytes, random.Random], bytes | None]] = (
    lambda _good, _rng: None,
    lambda _good, _rng: b"",
    lambda _good, _rng: b" ",
    lambda _good, rng: rng.randbytes(rng.randint(1, 200)),
    lambda good, _rng: good + good,
    lambda good, _rng: b"[" + good + b"]",
    lambda good, _rng: b"\xef\xbb\xbf" + good,
    lambda good, _rng: good.decode().encode("utf-16"),
    lambda good, _rng: good.decode().encode("utf-32"),
    lambda good, _rng: b"\x00\x00\x00\x00\x07" + good,
    lambda good, _rng: b"\x00\x00\x00\x00\x00" + good,
    lambda good, _rng: gzip.compress(good, mtime=0),
    lambda good, _rng: json.dumps(good.decode()).encode(),
    lambda good, _rng: good.replace(b" ", b"\n\t "),
    lambda _good, rng: written(rng.choice(ODD)),
)
