"""What a sample of records holds under each path: values by kind, with the places of their records."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from aestream.columns import TEXT, BadValueError, Column, Kind, describe, is_missing, is_number
from aestream.features.schema import Path
from aestream.features.series import seconds
from aestream.inference.labels import is_padded
from aestream.quantities import stands_for_nothing, text_number
from aestream.types import Places, Vector

# Beyond any meaning, and its square still a number.
FAR = 1e150
# A field is of one kind if at least this share of its values is.
OF_ONE_KIND = 0.99

UNIT_NAMES = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
_KINDS: Mapping[type, str] = {int: "numeric", str: "text", bool: "true/false", type(None): "null"}
_SCALARS = {*_KINDS, float}


@dataclass(slots=True)
class Field:
    """The values that a sample holds under one path.

    `rows` are the places of the records that have them, ascending; `each` is the kind of each value: numeric, text,
    true/false, timestamp, null, or what else it is; and `kinds` counts these. `quoted`: whether the numbers come as
    text, and the `unit` to which they are then turned.
    """

    path: Path
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    each: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    quoted: bool = False
    unit: str = ""

    @property
    def name(self) -> str:
        """The name for people: the path with dots."""
        return ".".join(self.path)

    @property
    def present_rows(self) -> list[int]:
        """The places of the records with a value that is not null."""
        return [row for row, kind in zip(self.rows, self.each, strict=True) if kind != "null"]

    @property
    def present(self) -> int:
        """How many values are there, without null."""
        return self.kinds.total() - self.kinds["null"]

    @property
    def kind(self) -> str:
        """The most frequent kind, null if there is no other."""
        kinds = {kind: count for kind, count in self.kinds.items() if kind != "null"}
        return max(kinds, key=kinds.__getitem__) if kinds else "null"

    def of(self, kind: str) -> tuple[Places, list[Any]]:
        """The values of one kind and the places of their records."""
        if self.kinds[kind] == len(self.values):
            return np.array(self.rows, np.intp), self.values
        chosen = [found == kind for found in self.each]
        return np.array(self.rows, np.intp)[chosen], list(compress(self.values, chosen))

    def settle(self) -> None:
        """Tell the kinds of the values; text is numbers and missing values where nearly all of it can be read so."""
        self._judge(self.values)
        before = self.kinds["numeric"]
        texts = [value for value in self.values if isinstance(value, str)]
        if not texts or is_padded(texts):
            return
        as_text, kinds, each = self.values, self.kinds, self.each
        self._judge([_number(value) if isinstance(value, str) else value for value in self.values])
        numbers = self.kinds["numeric"]
        if numbers and numbers >= OF_ONE_KIND * self.present:
            self.quoted = numbers > before
        else:
            self.values, self.kinds, self.each = as_text, kinds, each

    def _judge(self, values: list[Any]) -> None:
        self.values, self.each = values, _kinds(values)
        self.kinds = Counter(self.each)

    def texts(self, records: int) -> list[str | None]:
        """The values as text by record, (n,); None where a record has none."""
        column: list[str | None] = [None] * records
        for row, value in zip(self.rows, self.values, strict=True):
            if value is not None:
                column[row] = str(value)
        return column

    def moments(self, records: int) -> Vector | None:
        """The values as seconds by record, (n,), NaN where a record has none; None if they are no times.

        Numbers are seconds, or ms, us or ns since 1970 where they lie between 2001 and 2100 (see
        `features.series.seconds`). Text is ISO 8601.
        """
        if self.kind == "numeric":
            return seconds(self.numbers(records))
        times = np.full(records, np.nan)
        rows, values = self.of(self.kind)
        try:
            times[rows] = Column(Kind.TIMESTAMP, unit=TEXT).column(values)
        except BadValueError:
            return None
        return times

    def measured(self, base: str) -> Field:
        """The same field with its texts read as quantities in a base unit; what is none is missing."""
        column = Column(quoted=True, unit=base)
        read = []
        for value in self.values:
            try:
                read.append(column.number(value))
            except ValueError:
                read.append(math.nan)
        measured = Field(self.path, self.rows, quoted=True, unit=base)
        measured._judge(read)
        return measured

    def numbers(self, records: int) -> Vector:
        """The numbers by record, (n,), within FAR so that no square overflows; NaN where a record has none."""
        column = np.full(records, np.nan)
        rows, values = self.of("numeric")
        column[rows] = np.asarray(values, np.float64)
        near: Vector = np.clip(column, -FAR, FAR)
        return near


def gather(records: Sequence[Mapping[str, Any]]) -> list[Field]:
    """The fields of decoded records, nested ones by their path, in the order in which they first appear."""
    fields: dict[Path, Field] = {}
    for row, record in enumerate(records):
        for path, value in _leaves(record):
            found = fields.get(path)
            if found is None:
                found = fields[path] = Field(path)
            found.rows.append(row)
            found.values.append(value)
    for found in fields.values():
        found.settle()
    return list(fields.values())


def _leaves(record: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in record.items():
        path = (*prefix, str(key))
        if type(value) not in _SCALARS and isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, value


def _kinds(values: list[Any]) -> list[str]:
    """The kind of each value; the ordinary ones are told all at once."""
    types = set(map(type, values))
    if len(types) == 1 and (kind := _KINDS.get(next(iter(types)))) not in {None, "numeric"}:
        return [str(kind)] * len(values)
    if types <= {int, float}:
        try:
            there = np.isfinite(np.array(values, np.float64))
        except OverflowError:
            return list(map(_kind, values))
        return ["numeric"] * len(values) if there.all() else np.where(there, "numeric", "null").tolist()
    return list(map(_kind, values))


def _kind(value: object) -> str:
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind if kind != "numeric" or is_number(value) else describe(value)
    if is_number(value):
        return "numeric"
    if is_missing(value) or isinstance(value, float | np.floating):  # an infinite number is not there either
        return "null"
    if isinstance(value, bool | np.bool_):
        return "true/false"
    return "timestamp" if isinstance(value, datetime.datetime) else describe(value)


def _number(text: str) -> object:
    """The number that a text holds; None for the name of a missing value, the text itself for any other."""
    if stands_for_nothing(text):
        return None
    try:
        return text_number(text)
    except ValueError:
        return text
