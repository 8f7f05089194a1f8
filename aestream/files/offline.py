"""Score, encode and denoise files with the same detector that scores the stream.

`lines` is the codec for the lines of a JSON lines file; CSV and Parquet already have columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aestream.codecs.base import Codec
from aestream.columns import Kind, Value
from aestream.detector.detector import Detector
from aestream.errors import DataError, UnreadableError
from aestream.features.arrow import Problems, matrix_of, records_of
from aestream.features.schema import FeatureSchema
from aestream.files.csv import read_values
from aestream.files.formats import format_of, read_tables
from aestream.files.json import read_records
from aestream.files.writers import Columns, Writer
from aestream.inference.spread import evenly
from aestream.types import Matrix, Places, Vector

# What the features are inferred from.
_MOST_RECORDS = 10_000
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk of a file: the matrix (m, d) of the usable rows, their places, and what is wrong with the others."""

    count: int
    matrix: Matrix
    places: Places  # (m,) within the chunk
    problems: list[tuple[int, str]]


def read_rows(path: Path, schema: FeatureSchema, lines: Codec, encoding: str | None = None) -> Iterator[Rows]:
    """The features of a file, a chunk at a time. Raises DataError when the file cannot be read or lacks a column."""
    if format_of(path) == "jsonl":
        decoder = lines.decoder(schema)
        for chunk in read_records(path, encoding):
            decoded = decoder.decode(chunk)
            # a line may hold several records, or none: each valid record counts, and each line that is invalid
            lines_of = np.concatenate([decoded.rows, [problem.row for problem in decoded.invalid]])
            numbers = np.argsort(np.argsort(lines_of, kind="stable"))
            valid, unusable = np.split(numbers, [len(decoded.rows)])
            problems = [(row, of.message) for row, of in zip(unusable.tolist(), decoded.invalid, strict=True)]
            yield Rows(len(lines_of), decoded.matrix, valid, problems)
        return
    for table, unread in read_tables(path, schema, encoding):
        matrix, misfits = matrix_of(table, schema)
        wrong = misfits | unread
        good = np.ones(len(table), bool)
        good[list(wrong)] = False
        yield Rows(len(table), matrix[good], np.flatnonzero(good), sorted(wrong.items()))


def documents(path: Path, lines: Codec, *, records: int, encoding: str | None = None) -> list[Mapping[str, Any]]:
    """Whole records that are spread over the first `records` ones of a file, in order, to infer a schema from.

    Raises DataError when there are none.
    """
    spread = _Spread(records)
    if format_of(path) == "jsonl":
        why = _take_lines(spread, read_records(path, encoding), lines)
    else:
        why = _take_rows(spread, read_tables(path, encoding=encoding))
    if not spread.seen:
        raise DataError(f"{path} holds no records")
    if not spread.records and why is None:
        raise DataError(f"all of the {spread.seen} records in {path} are passed over: check `where` and `layout`")
    if not spread.records:
        raise UnreadableError(f"none of the {spread.seen} records in {path} can be read: {why}")
    if format_of(path) == "csv":
        read_values(spread.records)
    return spread.records


def _take_lines(spread: _Spread, chunks: Iterator[list[bytes]], lines: Codec) -> str | None:
    """Take records of JSON; return why one of them cannot be read, if none of its chunk can."""
    why: str | None = None
    for chunk in chunks:
        taken = [chunk[place] for place in spread.next(len(chunk)).tolist()]
        found = list(itertools.chain.from_iterable(lines.documents(taken)))
        if not found and why is None:
            why = next(filter(None, map(lines.refusal, taken)), None)
        if spread.add(found, sum(map(len, taken))):
            break
    return why


def _take_rows(spread: _Spread, tables: Iterator[tuple[pa.Table, Problems]]) -> str | None:
    """Take rows of tables; return what is wrong with the first that cannot be read."""
    why: str | None = None
    for table, unread in tables:
        why = why or next(iter(unread.values()), None)
        rows = np.setdiff1d(spread.next(len(table)), list(unread))
        if spread.add(records_of(table.take(rows)), table.nbytes * len(rows) // max(len(table), 1)):
            break
    return why


class _Spread:
    """Chooses every record, or half, a quarter, an eighth ... of them, so that few enough are spread over `wanted`.

    Not every second or fourth one: of hosts that take turns, that would show some and hide the others.
    """

    def __init__(self, wanted: int) -> None:
        self.records: list[Any] = []
        self._wanted = wanted
        self.seen = 0
        self._share = 1.0
        self._bytes = 0

    def next(self, count: int) -> Places:
        """Which of the next `count` records to add."""
        count = min(count, self._wanted - self.seen)
        while len(self.records) + count * self._share > _MOST_RECORDS:
            self._thin()
        places = evenly(self.seen, count)
        self.seen += count
        return np.flatnonzero(places < self._share)

    def add(self, records: Sequence[Mapping[str, Any]], size: int) -> bool:
        """Add records that take `size` bytes; return whether enough have been seen."""
        self.records += records
        self._bytes += size
        while len(self.records) > _MOST_RECORDS or self._bytes > _MOST_BYTES:
            self._thin()
        return self.seen >= self._wanted

    def _thin(self) -> None:
        kept = evenly(0, len(self.records)) < 0.5  # noqa: PLR2004 - half
        self.records = list(itertools.compress(self.records, kept.tolist()))
        self._bytes, self._share = self._bytes // 2, self._share / 2


def score(detector: Detector, matrix: Matrix) -> Columns:
    """score, anomaly, error and p_value of each row."""
    found = detector.detect(matrix)
    return {"score": found.score, "anomaly": found.anomaly, "error": found.error, "p_value": found.p_value}


def encode(detector: Detector, matrix: Matrix) -> Columns:
    """The latent vector of each row."""
    latent = detector.detect(matrix, latent=True).latent
    assert latent is not None  # noqa: S101 - asked for
    return {f"latent_{i}": column for i, column in enumerate(latent.T)}


def denoise(detector: Detector, matrix: Matrix) -> Columns:
    """The reconstruction of each row, in the features' own units, categories by name."""
    rebuilt = detector.detect(matrix, reconstruction=True).reconstruction
    assert rebuilt is not None  # noqa: S101 - asked for
    pairs = zip(detector.schema.names, detector.schema.columns, rebuilt.T, strict=True)
    return {name: values if column.kind is Kind.NUMERIC else column.show(values) for name, column, values in pairs}


def apply(
    work: Callable[[Detector, Matrix], Columns],
    detector: Detector,
    path: Path,
    lines: Codec,
    encoding: str | None = None,
) -> Iterator[Columns]:
    """Run `score`, `encode` or `denoise` over a file.

    Yields chunks with one row for every record: its number, the results, and under `problem` why there are none.
    Raises DataError when the file cannot be read or holds no records.
    """
    first = 0
    for rows in read_rows(path, detector.schema, lines, encoding):
        problems: list[str | None] = [None] * rows.count
        for place, problem in rows.problems:
            problems[place] = problem
        results = {name: _spread(column, rows) for name, column in work(detector, rows.matrix).items()}
        yield {"row": np.arange(first, first + rows.count), **results, "problem": problems}
        first += rows.count
    if not first:
        raise DataError(f"{path} holds no records")


@dataclass(frozen=True, slots=True)
class Written:
    """How many records were written, how many of these without a result, and why the first one has none."""

    records: int = 0
    failed: int = 0
    why: str | None = None


def write(chunks: Iterable[Columns], writer: Writer) -> Written:
    """Write the chunks that `apply` yields."""
    done = Written()
    for chunk in chunks:
        writer.write(chunk)
        problems = [problem for problem in chunk["problem"] if problem]
        why = done.why or (problems[0] if problems else None)
        done = Written(done.records + len(chunk["problem"]), done.failed + len(problems), why)
    return done


def _spread(column: Sequence[Any] | NDArray[Any], rows: Rows) -> Vector | Matrix | list[Value]:
    """Put results back into their rows; a row without one holds NaN, or None for flags and text."""
    if not isinstance(column, np.ndarray) or column.dtype == np.bool_:
        flags: list[Value] = [None] * rows.count
        values = column.tolist() if isinstance(column, np.ndarray) else column
        for place, value in zip(rows.places.tolist(), values, strict=True):
            flags[place] = value
        return flags
    whole = np.full(rows.count, np.nan)
    whole[rows.places] = column
    return whole
