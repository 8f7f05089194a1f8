"""The bytes of a file: compression, encoding, and what is no file of text."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from pathlib import Path

import pyarrow as pa
import pytest

from aestream.errors import ConfigurationError, DataError
from aestream.files import source
from aestream.files.source import read_text
from tests.unit.files import write

TEXT = "größer,€\n" * 500


def text(path: Path, encoding: str | None = None) -> str:
    return b"".join(read_text(path, encoding)).decode()


@pytest.mark.parametrize("chunk", [3, 1000, 2**20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, encoding: str, chunk: int
) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", chunk)
    path = write(tmp_path / "a.csv", "a,b,c\n" + TEXT)
    path.write_text(
        "a,b,c\n" + TEXT.replace("€", "€" if encoding == "cp1252" else "€ 日"), encoding=encoding, newline=""
    )
    if chunk > 3 or encoding not in {"utf-16-le", "utf-16-be"}:
        assert text(path) == path.read_text(encoding=encoding)
    if encoding == "cp1252":
        assert caplog.messages == [f"{path} is not encoded in UTF-8: its other bytes are read as Windows-1252"]


def test_an_encoding_that_is_given_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Ωμέγα".encode("iso8859-7"))
    assert text(path, "iso8859-7") == "Ωμέγα"
    assert text(write(path, "\ufeffa"), "utf8") == "a"
    for wrong in ("utf-8", "ascii"):
        with pytest.raises(DataError, match=f"is not encoded in {wrong}"):
            text(write(path, "größer".encode("latin-1")), wrong)
    for unknown in ("latin-99", "rot13", ""):
        with pytest.raises(ConfigurationError, match=f"there is no encoding '{unknown}'"):
            text(path, unknown)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_compression_is_found_out_whatever_the_name(tmp_path: Path, name: str) -> None:
    raw = TEXT.encode()
    for packed in (
        gzip.compress(raw),
        gzip.compress(raw[:99]) + gzip.compress(raw[99:]),
        bz2.compress(raw),
        pa.Codec("zstd").compress(raw).to_pybytes(),
        raw,
    ):
        assert text(write(tmp_path / name, packed)) == TEXT


@pytest.mark.parametrize("compress", [gzip.compress, lambda raw: pa.Codec("zstd").compress(raw).to_pybytes()])
def test_a_file_that_ends_too_early_is_one_line(tmp_path: Path, compress: object) -> None:
    whole = compress(os.urandom(5000).hex().encode())  # type: ignore[operator]
    for damaged in (whole[:-20], whole[:1000], b"\x1f\x8b" + bytes(100)):
        with pytest.raises(DataError, match=r"a.csv cannot be read: \S+"):
            text(write(tmp_path / "a.csv", damaged))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(10_000), "holds no text"),
        (b"\x80\0\0\x01" * 100, "holds no text"),
        (lzma.compress(b"a,b"), "compressed with xz"),
        (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
        (b"PAR1", "a Parquet file"),
    ],
    ids=range(5),
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        text(write(tmp_path / "a.csv", content))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, words in {"none.csv": "there is no file", "folder.csv": "a folder", "pipe.csv": "a pipe"}.items():
        with pytest.raises(DataError, match=words):
            text(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a\n1\n")
    path.chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        text(path)
