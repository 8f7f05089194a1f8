"""Results as files: CSV, JSON lines and Parquet, written a chunk at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from aestream.errors import ConfigurationError
from aestream.files.formats import COMPRESSIONS, format_of

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]


class Writer(Protocol):
    """Accepts chunks of columns; the first chunk decides the types."""

    def write(self, columns: Columns) -> None:
        """Append rows, given as columns of equal length."""
        ...


@contextmanager
def writer(path: Path | None, kind: str | None) -> Iterator[Writer]:
    """Write CSV, JSON lines or Parquet to a file, or to standard output. The suffix decides unless `kind` does.

    A file whose name ends in .gz or the like is compressed.
    """
    chosen = kind or (format_of(path) if path else "csv")
    if path is None and chosen == "parquet":
        raise ConfigurationError("Parquet cannot go to standard output: name a file with --output")
    with _created(path) if path else _standard_output() as file:
        made = _LinesWriter(file) if chosen == "jsonl" else _TableWriter(_maker(path, chosen), file)
        try:
            yield made
        finally:
            made.close()


class _LinesWriter:
    def __init__(self, file: Any) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, columns: Columns) -> None:
        lists = [c.tolist() if isinstance(c, np.ndarray) else c for c in columns.values()]
        rows = [
            {name: value for name, value in zip(columns, row, strict=True) if _is_there(value)}
            for row in zip(*lists, strict=True)
        ]
        self._file.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        self._file.flush()


class _TableWriter:
    def __init__(self, make: Callable[[Any, pa.Schema], Any], file: Any) -> None:
        self._file = file
        self._make = make
        self._writer: Any = None
        self._schema: Any = None  # of the first table

    def write(self, columns: Columns) -> None:
        table = pa.table({name: _array(values) for name, values in columns.items()})
        if self._writer is None:
            self._writer = self._make(self._file, table.schema)
            self._schema = table.schema
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.flush()


def _maker(path: Path | None, kind: str) -> Callable[[Any, pa.Schema], Any]:
    if kind == "parquet":
        return pyarrow.parquet.ParquetWriter  # type: ignore[no-any-return]
    mark = "\t" if path and ".tsv" in path.suffixes else ","
    return partial(pyarrow.csv.CSVWriter, write_options=pyarrow.csv.WriteOptions(delimiter=mark))


def _is_there(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _array(values: Sequence[Any] | NDArray[Any]) -> pa.Array:
    """An Arrow array; NaN becomes null. A list holds texts or flags, with None where one is missing."""
    if isinstance(values, np.ndarray):
        return pa.array(values, from_pandas=True)
    flags = any(isinstance(value, bool) for value in values)
    return pa.array(values, type=pa.bool_() if flags else pa.string())


@contextmanager
def _created(path: Path) -> Iterator[Any]:
    try:
        file = path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    compression = COMPRESSIONS.get(path.suffix.lower())
    began = True
    try:
        with file, pa.CompressedOutputStream(file, compression) if compression else nullcontext(file) as output:
            try:
                yield output
            except BaseException:
                began = output.tell() > 0
                raise
    finally:
        if not began and path.is_file():
            path.unlink()


@contextmanager
def _standard_output() -> Iterator[Any]:
    yield sys.stdout.buffer
