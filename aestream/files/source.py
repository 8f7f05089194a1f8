"""The text of a file, whatever it is compressed with and encoded in, as UTF-8."""

from __future__ import annotations

import codecs
import functools
import io
import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from aestream.errors import ConfigurationError, DataError

_log = logging.getLogger(__name__)

CHUNK_BYTES = 8 * 2**20
# By a file's first bytes, whatever its name says.
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4"}
_UNREADABLE = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: unpack it, or save it as CSV",
    b"\xfd7zXZ": "compressed with xz: unpack it, or compress it with gzip or zstd",
    b"PAR1": "a Parquet file: let its name end in .parquet",
    b"ARROW1": "an Arrow file: save it as Parquet",
}
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}
_LEGACY = "aestream.windows-1252"
_HEAD_BYTES = 4096


def read_text(path: Path, encoding: str | None) -> Iterator[bytes]:
    """The text of a file in chunks of UTF-8, without a byte order mark; a chunk may end anywhere but in a character.

    `encoding` is one that Python knows. Without it, a byte order mark decides; bytes that are not UTF-8 are then read
    as Windows-1252, and this is logged. Raises DataError when the file cannot be read or is no text, and
    ConfigurationError when there is no such encoding.
    """
    with opened(path) as file:
        chunk = file.read(CHUNK_BYTES)
        name = _encoding(path, chunk, encoding)
        decoder = codecs.getincrementaldecoder(name)()
        while True:
            if chunk.isascii() and name == "utf-8" and not decoder.getstate()[0]:
                text = chunk
            else:
                try:
                    text = _utf8(decoder.decode(chunk, final=not chunk))
                except UnicodeError as error:
                    if encoding is not None or name == "utf-16":
                        raise DataError(f"{path} is not encoded in {name}: {error}") from error
                    say(f"{path} is not encoded in UTF-8: its other bytes are read as Windows-1252")
                    pending = decoder.getstate()[0]
                    decoder = codecs.getincrementaldecoder("utf-8")(_LEGACY)
                    text = _utf8(decoder.decode(pending + chunk, final=not chunk))
            if text:
                yield text
            if not chunk:
                return
            chunk = file.read(CHUNK_BYTES)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file to read bytes from, uncompressed. Raises DataError when it cannot be read, then or later."""
    with readable(path):
        with path.open("rb") as file:
            head = file.read(8)
        for mark, what in _UNREADABLE.items():
            if head.startswith(mark):
                raise DataError(f"{path} is {what}")
        compression = next((name for mark, name in _COMPRESSIONS.items() if head.startswith(mark)), None)
        with pa.input_stream(path, compression=compression) if compression else path.open("rb") as file:
            yield file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise DataError, in one line, when the file is not an ordinary one or reading it fails."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise DataError(f"{path} cannot be read: it is a folder")
        if not stat.S_ISREG(kind):
            raise DataError(f"{path} cannot be read: it is a pipe or a device. Save what it holds as a file first")
        yield
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, EOFError, pa.ArrowException) as error:
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read: {told.splitlines()[0]}") from error


@functools.lru_cache(maxsize=256)
def say(message: str) -> None:
    """Log what was guessed about a file, once for each message: files are read twice."""
    _log.warning(message)


def _encoding(path: Path, first: bytes, wanted: str | None) -> str:
    """The name of the encoding for Python."""
    if wanted is not None:
        try:
            io.TextIOWrapper(io.BytesIO(), wanted)  # refuses codecs that make no text
            name = codecs.lookup(wanted).name
        except LookupError:
            raise ConfigurationError(
                f"there is no encoding {wanted!r}: use a name such as utf-8, cp1252, latin-1 or utf-16"
            ) from None
        return "utf-8-sig" if name == "utf-8" else name
    for mark, name in _MARKS.items():
        if first.startswith(mark):
            return name
    head = first[:_HEAD_BYTES]
    if b"\0" not in head:
        return "utf-8"
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[start::2].count(0) > len(head) // 4 and not head[1 - start :: 2].count(0):
            say(f"{path} has no byte order mark: it is read as {name.upper()}")
            return name
    raise DataError(f"{path} holds no text: there are zero bytes in it")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Decode the bytes that are not UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    try:
        return bad.decode("cp1252"), error.end
    except UnicodeDecodeError:  # it leaves five bytes undefined
        return bad.decode("latin-1"), error.end


codecs.register_error(_LEGACY, _as_windows)
