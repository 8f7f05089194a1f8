"""Files of records: CSV, JSON lines and Parquet, read and written a chunk at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from aestream.columns import BadValueError, Column, Kind
from aestream.errors import ConfigurationError, DataError
from aestream.types import Matrix, Vector

CHUNK_ROWS = 10_000
_DELIMITERS = (",", ";", "\t")  # the most frequent one in the header line is chosen
_CHUNK_BYTES = 8 * 2**20
_FORMATS = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]


def format_of(path: Path) -> str:
    """`csv`, `jsonl` or `parquet`, by the suffix. Raises ConfigurationError for any other."""
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_FORMATS)
        raise ConfigurationError(f"{path} has an unknown format: give a file whose name ends in {known}") from None


def read_lines(path: Path) -> Iterator[list[bytes]]:
    """The lines of a JSON lines file in chunks, without empty ones. Raises DataError when it cannot be read."""
    with _opened(path) as file:
        while lines := file.readlines(_CHUNK_BYTES):
            yield [line for raw in lines if (line := raw.strip())]


def read_tables(path: Path) -> Iterator[pa.Table]:
    """Chunks of a CSV or Parquet file as tables. Raises DataError when the file is not what its suffix says."""
    try:
        if format_of(path) == "parquet":
            chunks: Any = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=CHUNK_ROWS)
        else:
            chunks = _csv(path)
        for chunk in chunks:
            names = chunk.schema.names
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise DataError(f"{path} has two columns called {twice!r}: rename one")
            yield pa.Table.from_batches([chunk])
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def read_documents(path: Path, *, limit: int) -> list[Mapping[str, Any]]:
    """The first `limit` records of a CSV or Parquet file as mappings, to infer a schema from."""
    found: list[Mapping[str, Any]] = []
    for table in read_tables(path):
        found.extend(table.slice(0, limit - len(found)).to_pylist())
        if len(found) >= limit:
            break
    return found


def columns_of(
    table: pa.Table, names: Sequence[str], columns: Sequence[Column] = ()
) -> tuple[Matrix, list[tuple[int, str]]]:
    """The named columns of a table as numbers; a nested one has a dotted name. Without `columns`, all are numeric.

    Returns float64 (n, d), and for each unusable row its place and what is wrong; such rows hold NaN, as do missing
    values of imputed columns. Raises DataError when a column is missing.
    """
    table = _flat(table)
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise DataError(
            f"the file lacks {', '.join(missing[:5])}, which the model needs; "
            f"it has {', '.join(table.column_names[:10])}"
        )
    matrix = np.empty((len(table), len(names)))
    problems: dict[int, str] = {}
    for i, (name, column) in enumerate(zip(names, columns or [Column()] * len(names), strict=True)):
        there = table.column(name)
        if column.kind is Kind.NUMERIC:
            matrix[:, i], problem = _numbers(there), f"{name} is not a finite number"
        else:
            matrix[:, i], problem = _others(there, column), f"{name} is not a {column.kind} value"
        bad = ~np.isfinite(matrix[:, i])
        if bad.any() and column.imputed:
            bad &= ~np.asarray(pc.is_null(there, nan_is_null=True))
        for row in np.flatnonzero(bad).tolist():
            problems.setdefault(row, problem)
    return matrix, sorted(problems.items())


class Writer(Protocol):
    """Accepts chunks of columns; the first chunk decides the types."""

    def write(self, columns: Columns) -> None:
        """Append rows, given as columns of equal length."""
        ...


@contextmanager
def writer(path: Path | None, kind: str | None) -> Iterator[Writer]:
    """Write CSV, JSON lines or Parquet to a file, or to standard output. The suffix decides unless `kind` does."""
    chosen = kind or (format_of(path) if path else "csv")
    if path is None and chosen == "parquet":
        raise ConfigurationError("Parquet cannot go to standard output: name a file with --output")
    with _created(path) if path else _standard_output() as file:
        made = _LinesWriter(file) if chosen == "jsonl" else _TableWriter(file, chosen)
        try:
            yield made
        finally:
            made.close()


class _LinesWriter:
    def __init__(self, file: IO[bytes]) -> None:
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
    def __init__(self, file: IO[bytes], kind: str) -> None:
        self._file = file
        self._make = pyarrow.csv.CSVWriter if kind == "csv" else pyarrow.parquet.ParquetWriter
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


def _is_there(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _array(values: Sequence[Any] | NDArray[Any]) -> pa.Array:
    """An Arrow array; NaN becomes null. A list holds texts or flags, with None where one is missing."""
    if isinstance(values, np.ndarray):
        return pa.array(values, from_pandas=True)
    flags = any(isinstance(value, bool) for value in values)
    return pa.array(values, type=pa.bool_() if flags else pa.string())


def _created(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    yield sys.stdout.buffer


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _csv(path: Path) -> Any:
    """A CSV file in chunks, with the types of the first one; but a column that begins with whole numbers is float64."""
    options = pyarrow.csv.ReadOptions(block_size=_CHUNK_BYTES)
    with path.open("rb") as file:
        header = file.readline(_CHUNK_BYTES)
    parse = pyarrow.csv.ParseOptions(delimiter=max(_DELIMITERS, key=lambda mark: header.count(mark.encode())))
    with pyarrow.csv.open_csv(path, read_options=options, parse_options=parse) as first:
        wider = {field.name: pa.float64() for field in first.schema if pa.types.is_integer(field.type)}
        wider |= {field.name: pa.string() for field in first.schema if pa.types.is_null(field.type)}
    convert = pyarrow.csv.ConvertOptions(column_types=wider, strings_can_be_null=True)
    return pyarrow.csv.open_csv(path, read_options=options, parse_options=parse, convert_options=convert)


def _flat(table: pa.Table) -> pa.Table:
    while any(pa.types.is_struct(column.type) for column in table.columns):
        table = table.flatten()
    return table


def _numbers(column: pa.ChunkedArray) -> Vector:
    """A column as float64, NaN where there is no number. Text is read number by number."""
    kind = column.type
    if pa.types.is_boolean(kind) or not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    ):
        return np.asarray([_number(value) for value in column.to_pylist()])
    numbers: Vector = pc.cast(column, pa.float64(), safe=False).to_numpy()
    return numbers


def _number(value: object) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return float("nan")
    return float("nan")


def _others(column: pa.ChunkedArray, kind: Column) -> Vector:
    """A column of booleans, categories or timestamps as numbers, NaN where a value does not fit."""
    values = column.to_pylist()
    if kind.kind is Kind.CATEGORICAL:
        values = [value if value is None or isinstance(value, str) else str(value) for value in values]
    try:
        return kind.column(values)
    except BadValueError:
        return np.asarray([_fitting(kind, value) for value in values])


def _fitting(kind: Column, value: object) -> float:
    try:
        return kind.number(value)
    except ValueError:
        return float("nan")
