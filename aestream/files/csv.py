"""CSV files: a block of rows at a time, as tables of numbers and texts. A bad cell or row costs no more than itself."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from aestream.errors import DataError
from aestream.features.arrow import Problems, parsed, repeated
from aestream.features.schema import FeatureSchema
from aestream.files.notation import UNKNOWN, decimal_marks, plainly
from aestream.files.source import read_text, readable, say
from aestream.quantities import text_number

_DELIMITERS = ",;\t|"
_HEAD_BYTES = 2**20  # the header, and what tells how the file is written, are within these
_SAMPLE_BYTES = 2**18
_LONGEST_CELL = 2**16  # of several lines, where one is looked for
_LONGEST_ROW = 64 * 2**20
_SEPARATOR = re.compile(rb'"?sep=([\t -~])"?\r?\n', re.IGNORECASE)
_OPEN_QUOTE = re.compile(rb'(^|[,;\t|])"([^"\n]*)$', re.MULTILINE)
_BREAKS = re.compile(r"\s*[\r\n]\s*")
_QUOTED = re.compile(r'"[^"]*"')
_LINES = 20  # that are compared to find the delimiter
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class _Form:
    """How a file is written: what separates its cells, the names of its columns, and where its rows begin."""

    delimiter: str
    names: Sequence[str]
    start: int


def read_csv(
    path: Path, encoding: str | None, schema: FeatureSchema | None, beside: Sequence[str] = ()
) -> Iterator[tuple[pa.Table, Problems]]:
    """The rows of a CSV file in tables of float64 and string columns, and what is wrong with rows of another length.

    Such a row is null in all columns. With a schema, only its columns are read, and those `beside` it as text.

    Raises DataError when the file cannot be read, has no header, or has two columns of one name.
    """
    with readable(path):
        chunks = read_text(path, encoding)
        first = next(chunks, b"")
        if not first.strip():
            raise DataError(f"{path} is empty")
        if b"\n" not in first:  # as old Macs end a line
            first, chunks = first.replace(b"\r", b"\n"), (chunk.replace(b"\r", b"\n") for chunk in chunks)
        form = _form(path, first)
        blocks = _blocks(path, itertools.chain([first[form.start :]], chunks))
        head = next(blocks, None)
        if head is None:
            return
        reader = _Reader(path, form, schema, beside, head)
        for block in itertools.chain([head], blocks):
            yield reader.read(block)


def read_values(records: list[dict[str, Any]]) -> None:
    """Turn the texts in a CSV file's records into numbers where most of a column are numbers, likewise true and false.

    A word for a missing value is one in such columns only; elsewhere it may be a category.
    """
    for name in records[0]:
        values = [record[name] for record in records]
        if str in set(map(type, values)):
            for record, value in zip(records, _column_of(values), strict=True):
                record[name] = value


def _column_of(values: list[Any]) -> list[Any]:
    texts = pa.chunked_array([[value if isinstance(value, str) else None for value in values]], pa.string())
    is_text = texts.is_valid().to_numpy()
    found = np.array([*values, None], object)[:-1]  # None keeps numpy from looking into the values
    numbers, refused = parsed(texts, text_number)
    is_word = is_text.copy()
    is_word[refused] = False
    is_word &= ~np.isfinite(numbers)  # for a missing value
    there = np.count_nonzero(found[~is_word] != None)  # noqa: E711 - of each element
    if 2 * (there - len(refused)) >= there:
        found[np.isfinite(numbers)] = numbers[np.isfinite(numbers)]
        found[is_word] = None
        return found.tolist()  # type: ignore[no-any-return]
    flags = [_FLAGS.get(value.strip().lower(), value) if isinstance(value, str) else value for value in values]
    if 2 * sum(isinstance(value, bool) for value in flags) >= there:
        return [None if word else value for value, word in zip(flags, is_word.tolist(), strict=True)]
    return [f"{value:.15g}" if isinstance(value, float) else value for value in values]


def _form(path: Path, first: bytes) -> _Form:
    """Find out how a file is written from its beginning."""
    start = len(first) - len(first.lstrip(b"\r\n"))
    given = _SEPARATOR.match(first, start)
    start = given.end() if given else start
    text = first[start : start + _HEAD_BYTES].decode("utf-8", "ignore")
    delimiter = given[1].decode() if given else _delimiter(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        cells = [_BREAKS.sub(" ", cell.strip()) for cell in next(rows)]
    except (csv.Error, StopIteration):
        raise DataError(f"{path} has no header: let its first line name the columns") from None
    lines = itertools.islice(io.StringIO(text, newline=""), rows.line_num)
    start += sum(len(line.encode()) for line in lines)
    if all(map(_is_value, cells)) and cells not in ([str(i + k) for i in range(len(cells))] for k in (0, 1)):
        shown = delimiter.join(cells)[:60]
        raise DataError(f"{path} has no header, its first line is {shown}: add a line above it that names the columns")
    names = [cell or f"column_{place}" for place, cell in enumerate(cells, 1)]
    if twice := repeated(names):
        raise DataError(f"{path} has two columns called {twice!r}: rename one")
    return _Form(delimiter, names, start)


def _delimiter(text: str) -> str:
    """The mark that is in the header, and as often in the lines after it."""
    bare = _QUOTED.sub("", text[:_SAMPLE_BYTES])
    lines = [line for line in bare.splitlines()[: 2 * _LINES] if line.strip()][:_LINES]
    if not lines:
        return _DELIMITERS[0]

    def fit(mark: str) -> tuple[int, int]:
        first, *others = (line.count(mark) for line in lines)
        return (others.count(first), first) if first else (-1, 0)

    return max(_DELIMITERS, key=fit)


def _blocks(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut a text after whole rows."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        end = _end_of_rows(rest)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > _LONGEST_ROW:
            raise DataError(f"{path} has a line of more than {_LONGEST_ROW} bytes: is it a CSV file?")
    if rest.strip():
        yield rest


def _end_of_rows(text: bytes) -> int:
    """The place after the last line that does not end within quotes, or after the last line if all seem to."""
    last = end = text.rfind(b"\n") + 1
    quotes = text.count(b'"', 0, end) if b'"' in text else 0
    while quotes % 2 and end > last - _LONGEST_CELL:
        before = text.rfind(b"\n", 0, end - 1) + 1
        if not before:
            break
        quotes -= text.count(b'"', before, end)
        end = before
    return last if quotes % 2 else end


class _Reader:
    """Reads blocks, as numbers what has been numbers so far, and all as text where that fails."""

    def __init__(
        self, path: Path, form: _Form, schema: FeatureSchema | None, beside: Sequence[str], head: bytes
    ) -> None:
        self._form = form
        self._wanted = list(form.names)
        paths = [] if schema is None else list(map(".".join, schema.paths))
        if schema is not None and {*paths, *beside} <= set(form.names):
            self._wanted = list(dict.fromkeys([*paths, *beside]))
        sample, _ = self._leniently(head[: _end_of_rows(head[:_SAMPLE_BYTES]) or None])
        self._marks, guessed = decimal_marks(sample, form.delimiter)
        if guessed:
            mark = self._marks[guessed[0]]
            told = {",": "52,125 is read as 52.125", ".": "52,125 is read as 52125", UNKNOWN: "52,125 is not read"}[
                mark
            ]
            say(f"{path} does not tell what the comma in numbers of {guessed[0]} means: {told}")
        of_kind = dict(zip(paths, schema.columns, strict=True)) if schema is not None else {}
        self._typed = {
            name
            for name in self._wanted
            if self._marks.get(name, ",") != ","
            and (of_kind[name].wire is not str if name in of_kind else name not in beside)
            and _are_numbers(pc.utf8_trim_whitespace(sample.column(name)))
        }

    def read(self, block: bytes) -> tuple[pa.Table, Problems]:
        """The rows of a block, and what is wrong with those of another length than the header's."""
        table, problems = self._either_way(block)
        if b'"' in block and len(table) < block.count(b"\n"):
            repaired = self._without_open_quotes(block)
            if repaired != block:
                table, problems = self._either_way(repaired)
        columns = {
            name: plainly(column, self._marks[name]) if name in self._marks and column.type == pa.string() else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        return pa.table(columns), problems

    def _either_way(self, block: bytes) -> tuple[pa.Table, Problems]:
        try:
            return self._parsed(block, self._typed, block_bytes=_HEAD_BYTES), {}
        except pa.ArrowInvalid:
            table, problems = self._leniently(block)
            self._typed -= {name for name in self._typed if not _are_numbers(table.column(name))}
            return table, problems

    def _without_open_quotes(self, block: bytes) -> bytes:
        """Leave out quotes that are not closed on their line, where the line after it is a whole row by itself."""
        mark = self._form.delimiter.encode()
        marks = len(self._form.names) - 1

        def closed(match: re.Match[bytes]) -> bytes:
            line = block[match.end() + 1 : block.find(b"\n", match.end() + 1)]
            whole = marks and line.count(mark) == marks and b'"' not in line
            return match[1] + match[2] if whole else match[0]

        return _OPEN_QUOTE.sub(closed, block)

    def _leniently(self, block: bytes) -> tuple[pa.Table, Problems]:
        """Read all as text, with rows of null where there are too few or too many cells."""
        odd: list[Any] = []

        def skip(row: Any) -> str:
            odd.append(row)
            return "skip"

        table = self._parsed(block, (), block_bytes=len(block), on_odd_row=skip)
        if not odd:
            return table, {}
        expected = len(self._form.names)
        problems = {row.number - 1: _length_told(row.actual_columns, expected) for row in odd}
        places = np.full(len(table) + len(odd), -1)
        good = np.ones(len(places), bool)
        good[list(problems)] = False
        places[good] = np.arange(len(table))
        return table.take(pa.array(places, mask=~good)), problems

    def _parsed(self, block: bytes, numbers: Collection[str], *, block_bytes: int, on_odd_row: Any = None) -> pa.Table:
        types = {name: pa.float64() if name in numbers else pa.string() for name in self._wanted}
        return pyarrow.csv.read_csv(
            pa.py_buffer(block),
            pyarrow.csv.ReadOptions(
                column_names=self._form.names, block_size=max(block_bytes, 1), use_threads=on_odd_row is None
            ),
            pyarrow.csv.ParseOptions(
                delimiter=self._form.delimiter, newlines_in_values=b'"' in block, invalid_row_handler=on_odd_row
            ),
            pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=self._wanted, null_values=[""], strings_can_be_null=True
            ),
        )


def _length_told(cells: int, expected: int) -> str:
    return f"the row has {cells} cell{'s' * (cells != 1)}, but the header has {expected}"


def _are_numbers(texts: pa.ChunkedArray) -> bool:
    try:
        pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _is_value(cell: str) -> bool:
    """Whether a cell of the first line is a number or a time, and no name."""
    for read in (float, datetime.datetime.fromisoformat):
        try:
            read(cell)
        except ValueError:
            continue
        return True
    return False
