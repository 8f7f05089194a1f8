"""The records of a file as rows: whole ones to infer the features from, then the features of all, a chunk at a time.

`lines` is the codec for the lines of a JSON lines file; CSV and Parquet already have columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aestream.codecs.base import Codec
from aestream.errors import DataError, UnreadableError
from aestream.features.arrow import Problems, matrix_of, records_of
from aestream.features.roles import NO_MARKS, NO_ROLES, Marks, Roles
from aestream.features.schema import FeatureSchema
from aestream.files.csv import read_values
from aestream.files.formats import format_of, read_tables
from aestream.files.json import read_records
from aestream.inference.order import filled
from aestream.inference.spread import evenly
from aestream.types import Matrix, Places

# What the features are inferred from.
_MOST_RECORDS = 10_000
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk of records: the matrix (m, d) of the usable rows, their places, and what is wrong with the others."""

    count: int
    matrix: Matrix
    places: Places  # (m,) within the chunk
    problems: list[tuple[int, str]]
    marks: Marks = NO_MARKS  # of the usable rows

    def between(self, start: float, end: float) -> Rows:
        """The same chunk with only those usable rows whose time, in seconds, is at least `start` and before `end`.

        A row without a time counts as of the time of the one before it.
        """
        times = self.marks.times
        assert times is not None  # noqa: S101 - who asks has named a field for it
        known = times[np.isfinite(times)]
        when = filled(times, known[0] if len(known) else np.nan)
        return self.at(np.flatnonzero((when >= start) & (when < end)))

    def at(self, chosen: Places) -> Rows:
        """The same chunk with only some of the usable rows."""
        return Rows(self.count, self.matrix[chosen], self.places[chosen], self.problems, self.marks.at(chosen))


def read_rows(
    path: Path, schema: FeatureSchema, lines: Codec, encoding: str | None = None, roles: Roles = NO_ROLES
) -> Iterator[Rows]:
    """The features of a file, and what its records say of their `roles`, a chunk at a time.

    Raises DataError when the file cannot be read or lacks a column.
    """
    if format_of(path) == "jsonl":
        decoder = lines.decoder(schema, roles.names)
        for number, chunk in enumerate(read_records(path, encoding)):
            decoded = decoder.decode(chunk)
            marks = roles.of_columns(decoded.asides)
            if not number and marks.keys and set(marks.keys) <= {None, (None,) * len(roles.key)}:
                raise DataError(f"no record in {path} has a text or number in {roles.key[0]!r}, which `key` names")
            # a line may hold several records, or none: each valid record counts, and each line that is invalid
            lines_of = np.concatenate([decoded.rows, [problem.row for problem in decoded.invalid]])
            numbers = np.argsort(np.argsort(lines_of, kind="stable"))
            valid, unusable = np.split(numbers, [len(decoded.rows)])
            problems = [(row, of.message) for row, of in zip(unusable.tolist(), decoded.invalid, strict=True)]
            yield Rows(len(lines_of), decoded.matrix, valid, problems, marks)
        return
    for table, unread in read_tables(path, schema, encoding, roles.names):
        matrix, misfits = matrix_of(table, schema)
        wrong = misfits | unread
        good = np.ones(len(table), bool)
        good[list(wrong)] = False
        places = np.flatnonzero(good)
        yield Rows(len(table), matrix[good], places, sorted(wrong.items()), roles.of_table(table).at(places))


def count_rows(path: Path, encoding: str | None = None) -> int:
    """How many records a file has, or lines of JSON. Raises DataError when it cannot be read."""
    if format_of(path) == "jsonl":
        return sum(map(len, read_records(path, encoding)))
    return sum(len(table) for table, _ in read_tables(path, encoding=encoding))


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
