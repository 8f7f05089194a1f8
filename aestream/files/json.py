"""Files of JSON: a record on each line, an array of records, or records over several lines one after another."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from aestream.errors import DataError
from aestream.files.source import read_text, readable

_BETWEEN = re.compile(r"[\s,]*")
_HEAD_CHARACTERS = 2**20
_LONGEST_LINE = 256 * 2**20
# A value that the end of the text cuts off is found out within so many characters of it: a string begins there.
_LONGEST_STRING = 2**20
_CHUNK_RECORDS = 10_000
_scan = json.JSONDecoder().raw_decode


def read_records(path: Path, encoding: str | None) -> Iterator[list[bytes]]:
    """The records of a JSON file in chunks, each record as the bytes of its JSON. Empty lines are none.

    Raises DataError when the file cannot be read, or when what is not one record to a line is not JSON.
    """
    with readable(path):
        chunks = read_text(path, encoding)
        first = next(chunks, b"").lstrip()
        chunks = itertools.chain([first], chunks)
        yield from _lines(path, chunks) if _has_lines(first) else _values(path, chunks)


def _has_lines(first: bytes) -> bool:
    """Whether the records of a file that begins so are on lines of their own."""
    text = first[:_HEAD_CHARACTERS].decode("utf-8", "ignore")
    if text.startswith("[") and text[1:].lstrip()[:1] in {"", "{", "]"}:
        return _is_value(text.partition("\n")[0]) and not _is_value(text)
    try:
        _, end = _scan(text)
    except json.JSONDecodeError as error:
        return "\n" not in text.strip() or not _is_cut_off(text.rstrip(), error)
    except (ValueError, RecursionError):
        return True
    rest_of_line = text[end:].partition("\n")[0].lstrip(", \t\r")
    return "\n" not in text[:end] and not rest_of_line.startswith("{")


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether a value would go on after the text, and is not JSON for this reason alone."""
    missing = len(text) - error.pos
    return (
        missing <= 0
        or error.msg.startswith("Unterminated")
        or (error.msg.startswith("Expecting value") and missing < len("Infinity"))
    )


def _is_value(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(path: Path, chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield [line for raw in lines if (line := raw.strip())]
        if len(rest) > _LONGEST_LINE:
            raise DataError(f"{path} has a line of more than {_LONGEST_LINE} bytes: is it a file of records?")
    if line := rest.strip():
        yield [line]


def _values(path: Path, chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Values one after another, and the elements of arrays in place of these."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    found: list[bytes] = []
    text, at, count, within = "", 0, 0, False
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it matches anything
        mark = text[at : at + 1]
        if mark == ("]" if within else "["):
            within, at = not within, at + 1
            continue
        problem = "it ends within an array" if within else ""
        if mark:
            try:
                _, end = _scan(text, at)
            except (ValueError, RecursionError) as error:
                problem = str(error)
                if len(text) - getattr(error, "pos", 0) > _LONGEST_STRING:
                    raise DataError(_told(path, count, problem)) from error
            else:
                found.append(text[at:end].encode())
                count, at = count + 1, end
                if len(found) == _CHUNK_RECORDS:
                    yield found
                    found = []
                continue
        chunk = next(chunks, None)
        if chunk is None:
            yield found
            if problem:
                raise DataError(_told(path, count, problem))
            return
        text, at = text[at:] + decoder.decode(chunk), 0


def _told(path: Path, count: int, problem: str) -> str:
    return f"{path} cannot be read after {count} records: it is not JSON: {problem}"
