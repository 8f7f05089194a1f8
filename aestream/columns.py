"""How a feature's values become the numbers of a matrix's column, and how the numbers are shown to people.

A column is float64: a number as it is, a boolean as 0 or 1, a category as its code (-1: unseen in training), a
timestamp as seconds since 1970 in UTC. NaN is a missing value: null, a field that is not there, a number that is not
finite and, but for categories, a word such as `N/A`.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Any, Self, TypeAlias

import numpy as np

from aestream.quantities import BASES, quantities, quantity, stands_for_nothing, text_number, text_numbers, unit_of
from aestream.types import Vector

Value: TypeAlias = float | str | bool | None

MISSING = object()  # marks a field that a record does not have
UNSEEN = -1.0
TEXT = "text"
# How many of each unit make a second; `text` is ISO 8601.
UNITS = {TEXT: 1.0, "s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_LATEST = datetime.datetime.max.replace(tzinfo=datetime.UTC).timestamp() - 1
_NOTHING = {"NAType", "NaTType"}  # what pandas calls missing


class Kind(StrEnum):
    """What a feature's values are."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Column:
    """One feature's kind, the `categories` of a categorical one by code, its `unit`, and its policy.

    A missing value is filled in where the column is `imputed`; in any other column it makes the record unusable.
    `quoted`: numbers that come as text, or as text and numbers mixed; if they have units, all are turned into `unit`,
    one of BASES. The unit of a timestamp is one of UNITS. `steady`: a number or boolean that was the same all through
    the sample. `rate`: a counter, which a model sees by its increase per second; the column itself holds it as it is.
    """

    kind: Kind = Kind.NUMERIC
    categories: tuple[str, ...] = ()
    unit: str = ""
    imputed: bool = False
    quoted: bool = False
    steady: bool = False
    rate: bool = False

    def __post_init__(self) -> None:
        """Refuse a unit, categories or a flag that do not go with the kind."""
        units = UNITS if self.kind is Kind.TIMESTAMP else {"", *BASES} if self.quoted else {""}
        if self.unit not in units or (self.kind is Kind.CATEGORICAL) != bool(self.categories):
            raise ValueError(
                f"a {self.kind} column cannot have the unit {self.unit!r} and {len(self.categories)} categories"
            )
        if self.steady and self.kind not in (Kind.NUMERIC, Kind.BOOLEAN):
            raise ValueError(f"a {self.kind} column cannot be steady")
        if self.rate and self.kind is not Kind.NUMERIC:
            raise ValueError(f"a {self.kind} column cannot be a rate")

    @property
    def wire(self) -> Any:
        """What a value is in JSON: float, bool, str, or float | str for `quoted` numbers."""
        if self.kind is Kind.BOOLEAN:
            return bool
        if self.quoted:
            return float | str
        return str if self.kind is Kind.CATEGORICAL or self.unit == TEXT else float

    def numbers(self, values: Sequence[Any]) -> Vector:
        """Turn values of the type `wire`, or None where one is missing, into the column (n,).

        Raises ValueError when a text is not an ISO 8601 timestamp, or not a number of a quoted column.
        """
        if self.kind is Kind.CATEGORICAL:
            codes = _codes(self.categories)
            return np.fromiter(map(codes.get, values, itertools.repeat(UNSEEN)), np.float64, len(values))
        if self.unit == TEXT:
            return _moments(values)
        if self.quoted and self.unit in BASES and set(map(type, values)) == {str}:
            return quantities(values, self.unit)
        column = text_numbers(values) if self.quoted else np.fromiter(values, np.float64, len(values))  # None is NaN
        column[np.isinf(column)] = np.nan
        return column / UNITS[self.unit] if self.unit in UNITS else column

    def column(self, values: Sequence[Any]) -> Vector:
        """Turn values of any type into the column (n,); NaN where one is missing.

        Raises BadValueError for the first that does not fit.
        """
        kinds = set(map(type, values))
        read = text_numbers if self.wire is float and not self.unit and str in kinds else self.numbers
        if kinds <= _READY[float | str if read is text_numbers else self.wire]:
            try:
                return read(values)
            except (ValueError, OverflowError):
                pass
        column = np.empty(len(values))
        for row, value in enumerate(values):
            try:
                column[row] = self.number(value)
            except ValueError as error:
                raise BadValueError(row, str(error)) from error
        return column

    def number(self, value: object) -> float:
        """Turn one value of any type into its number. Raises ValueError, saying what it is, when it does not fit.

        Text that holds a number is one in any column of numbers.
        """
        if is_missing(value) or (
            isinstance(value, str) and self.kind is not Kind.CATEGORICAL and stands_for_nothing(value)
        ):
            return math.nan
        plain = bool(value) if isinstance(value, np.bool_) else value
        if isinstance(plain, datetime.datetime) and self.unit == TEXT:
            plain = plain.isoformat()
        try:
            if self.wire in {bool, str}:
                if isinstance(plain, self.wire):
                    return float(self.numbers([plain])[0])
            elif isinstance(plain, str):
                number = quantity(plain, self.unit) if self.unit in BASES else text_number(plain)
                return number / UNITS.get(self.unit, 1.0)
            elif is_number(plain):
                return float(plain) / UNITS.get(self.unit, 1.0)  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            pass
        raise ValueError(f"{describe(value)}, not {_WANTED[self.kind]}")

    def show(self, column: Vector) -> list[Value]:
        """Turn a column's numbers back into what people write; a missing one is None."""
        numbers: list[float] = column.tolist()
        if self.kind is Kind.NUMERIC:
            return [None if number != number else number for number in numbers] if self.imputed else [*numbers]  # noqa: PLR0124 - NaN
        return [None if math.isnan(number) else self._word(number) for number in numbers]

    def _word(self, number: float) -> Value:
        if self.kind is Kind.BOOLEAN:
            return number > 0.5  # noqa: PLR2004 - the middle of 0 and 1
        if self.kind is Kind.CATEGORICAL:
            return self.categories[int(number)] if number >= 0 else "(unseen)"
        within = min(max(number, 0.0), _LATEST)
        return datetime.datetime.fromtimestamp(within, datetime.UTC).isoformat().replace("+00:00", "Z")

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, as JSON types."""
        told: dict[str, Any] = {"kind": str(self.kind), "missing": "impute" if self.imputed else "dead_letter"}
        if self.categories:
            told["categories"] = list(self.categories)
        if self.unit:
            told["unit"] = self.unit
        return told | {flag: True for flag in _FLAGS if getattr(self, flag)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. Raises KeyError, TypeError or ValueError for anything else."""
        if data["missing"] not in POLICIES:
            raise ValueError(f"the policy {data['missing']!r} is not one of {', '.join(POLICIES)}")
        categories = tuple(str(name) for name in data.get("categories", ()))
        flags = {flag: bool(data.get(flag)) for flag in _FLAGS}
        return cls(Kind(data["kind"]), categories, str(data.get("unit", "")), data["missing"] == "impute", **flags)


class BadValueError(ValueError):
    """A value that does not fit its column: the row, and what the value is."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


POLICIES = ("dead_letter", "impute")
_FLAGS = ("quoted", "steady", "rate")
_READY: Mapping[Any, set[type]] = {
    float: {float, int, NoneType},
    bool: {bool, NoneType},
    str: {str, NoneType},
    float | str: {float, int, str, NoneType},
}
_WANTED = {
    Kind.NUMERIC: "a finite number",
    Kind.BOOLEAN: "true or false",
    Kind.CATEGORICAL: "text",
    Kind.TIMESTAMP: "a timestamp",
}


@functools.lru_cache(maxsize=1024)
def _codes(categories: tuple[str, ...]) -> Mapping[str | None, float]:
    return {None: math.nan, **{name: float(code) for code, name in enumerate(categories)}}


def _moments(texts: Sequence[str | None]) -> Vector:
    """ISO 8601 -> seconds since 1970; without a zone it is UTC. NaN for None."""
    there = [text for text in texts if text is not None] if None in texts else texts
    moments = list(map(datetime.datetime.fromisoformat, there))  # type: ignore[arg-type]
    if None in set(map(operator.attrgetter("tzinfo"), moments)):
        moments = [moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC) for moment in moments]
    seconds = np.fromiter(map(datetime.datetime.timestamp, moments), np.float64, len(moments))
    if len(there) == len(texts):
        return seconds
    column = np.full(len(texts), np.nan)
    column[[text is not None for text in texts]] = seconds
    return column


def is_missing(value: object) -> bool:
    """Whether a value is missing: null, NaN, an infinite number, or a field that the record does not have."""
    if value is None or value is MISSING or type(value).__name__ in _NOTHING:
        return True
    return isinstance(value, float | np.floating) and not math.isfinite(value)


def is_number(value: object) -> bool:
    """Whether a value is a finite number and not a boolean."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond 1.8e308
        return False


def describe_gap(value: object) -> str:
    """What stands where a value is missing: null, NaN, nothing, or a word."""
    return f"{value!r}, which stands for a missing value" if isinstance(value, str) else describe(value)


# What `describe` calls a list that may hold records.
OBJECTS = "a list of objects"


def describe(value: object) -> str:
    """What a value is, in plain words."""
    if value is MISSING:
        return "missing"
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if is_missing(value):
        return "null"
    if isinstance(value, str) and (unit := unit_of(value)) is not None:
        return f"text with a unit ({unit.name})"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "text"),
        ((bool, np.bool_), "true/false"),
        ((list, tuple), OBJECTS if _holds_objects(value) else "a list"),
        ((int, float, np.integer, np.floating), "a number" if is_number(value) else "a number too large"),
        (Mapping, "an object"),
        (datetime.date, "a timestamp"),
    )
    return next((kind for types, kind in kinds if isinstance(value, types)), type(value).__name__)


def _holds_objects(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
