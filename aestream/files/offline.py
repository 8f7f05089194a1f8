"""Score, encode and denoise files with the same detector that scores the stream.

`lines` is the codec for the lines of a JSON lines file; CSV and Parquet already have columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.codecs.base import Codec
from aestream.columns import Kind, Value
from aestream.detector.detector import Detector
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.files.formats import Columns, Writer, columns_of, format_of, read_documents, read_lines, read_tables
from aestream.types import Matrix, Places, Vector

_INFERRED_FROM_RECORDS = 5_000


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk of a file: the matrix (m, d) of the usable rows, their places, and what is wrong with the others."""

    count: int
    matrix: Matrix
    places: Places  # (m,) within the chunk
    problems: list[tuple[int, str]]


def read_rows(path: Path, schema: FeatureSchema, lines: Codec) -> Iterator[Rows]:
    """The features of a file, a chunk at a time. Raises DataError when the file cannot be read or lacks a column."""
    if format_of(path) == "jsonl":
        decoder = lines.decoder(schema)
        for chunk in read_lines(path):
            decoded = decoder.decode(chunk)
            # a line may hold several records, or none: each valid record counts, and each line that is invalid
            lines_of = np.concatenate([decoded.rows, [problem.row for problem in decoded.invalid]])
            numbers = np.argsort(np.argsort(lines_of, kind="stable"))
            valid, unusable = np.split(numbers, [len(decoded.rows)])
            problems = [(row, of.message) for row, of in zip(unusable.tolist(), decoded.invalid, strict=True)]
            yield Rows(len(lines_of), decoded.matrix, valid, problems)
        return
    for table in read_tables(path):
        matrix, problems = columns_of(table, schema.names, schema.columns)
        good = np.ones(len(table), bool)
        good[[row for row, _ in problems]] = False
        yield Rows(len(table), matrix[good], np.flatnonzero(good), problems)


def first_records(path: Path, lines: Codec) -> list[Mapping[str, Any]]:
    """The first records of a file, to infer a schema from. Raises DataError when there are none."""
    records: list[Mapping[str, Any]]
    why = None
    if format_of(path) == "jsonl":
        some = next(read_lines(path), [])[:_INFERRED_FROM_RECORDS]
        records = [record for documents in lines.documents(some) for record in documents]
        why = None if records else next(filter(None, map(lines.refusal, some)), None)
    else:
        records = read_documents(path, limit=_INFERRED_FROM_RECORDS)
    if not records:
        raise DataError(f"{path} holds no records" + (f": {why}" if why else ""))
    return records


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
    work: Callable[[Detector, Matrix], Columns], detector: Detector, path: Path, lines: Codec
) -> Iterator[Columns]:
    """Run `score`, `encode` or `denoise` over a file.

    Yields chunks with one row for every record: its number, the results, and under `problem` why there are none.
    """
    first = 0
    for rows in read_rows(path, detector.schema, lines):
        problems: list[str | None] = [None] * rows.count
        for place, problem in rows.problems:
            problems[place] = problem
        results = {name: _spread(column, rows) for name, column in work(detector, rows.matrix).items()}
        yield {"row": np.arange(first, first + rows.count), **results, "problem": problems}
        first += rows.count


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
