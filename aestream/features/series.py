"""Which entity each row of a table is of, and when it was recorded: given beside the table, or by name in it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

import numpy as np

from aestream.columns import MISSING, TEXT, UNITS, BadValueError, Column, Kind
from aestream.errors import DataError
from aestream.features.schema import lookup
from aestream.features.table import frame_of, records_of
from aestream.types import Key, Vector

# 2001 to 2100 in seconds since 1970; in ms, us and ns, a power of 1000 more.
EPOCH_RANGE = (0.98e9, 4.1e9)
NOT_EPOCH = 0.0  # the unit of numbers that are not since 1970
# So many columns at most are expected to name an entity.
MOST_NAMES = 10
_KEYS = {str, bytes, NoneType}
_REMEDY = "give seconds, datetimes or ISO 8601 text"


def names_of(table: Any, given: Any) -> tuple[str, ...]:
    """The columns of a DataFrame, or fields of records, that `given` names; none where it holds a value for each row.

    A text is a name, and so is each text of a list if the table has columns of all these names, or of some while the
    list is too short or too long to hold a value for each row.
    """
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list | tuple) or not given or not all(isinstance(name, str) for name in given):
        return ()
    if len(given) == _rows(table):
        return tuple(given) if all(_column(table, name) is not None for name in given) else ()
    return tuple(given) if any(_column(table, name) is not None for name in given[:MOST_NAMES]) else ()


def keys_of(table: Any, keys: Any) -> list[Key]:
    """The key of the entity of each row, (n,): None for all where `keys` is None.

    `keys` are text, bytes, whole numbers or tuples of these, one for each row, in any sequence; or the name, or the
    names, of columns of the table. Numbers and flags become text, as files have them: 7 and "7" are one entity.

    Raises DataError when there is not one for each row, when the table has no such column, or for a key that is a list
    or an object.
    """
    rows = _rows(table)
    if keys is None:
        return [None] * rows
    names = names_of(table, keys)
    if names:
        return keys_in(table, names)
    values = _listed(keys)
    _one_each(len(values), rows, "keys")
    return _as_keys(values)


def keys_in(table: Any, names: Sequence[str]) -> list[Key]:
    """The key of the entity of each row, (n,), from the columns of these names: a tuple where there are several.

    Raises DataError when the table has no such column, or for a key that is a list or an object.
    """
    columns = [_listed(_named(table, name, "keys")) for name in names]
    return _as_keys(columns[0] if len(columns) == 1 else list(zip(*columns, strict=True)))


def _as_keys(values: list[Any]) -> list[Key]:
    kinds = set(map(type, values))
    if kinds <= _KEYS:
        return values
    if kinds == {int}:
        return list(map(str, values))
    try:
        return [_key(value) for value in values]
    except TypeError as error:
        raise DataError(f"keys: {error}: give text, bytes or whole numbers, or tuples of these") from error


def times_of(table: Any, times: Any, unit: float | None = None) -> Vector | None:
    """When each row was recorded, in seconds, (n,), NaN where that is unknown; None where `times` is None.

    `times` are numbers, dates or ISO 8601 text, in any sequence, or the name of a column of the table. What numbers
    mean is said at `seconds`. Without a zone, a time is UTC.

    Raises DataError when there is not one for each row, when the table has no such column, or for what is no time.
    """
    if times is None:
        return None
    if isinstance(times, str):
        times = _named(table, times, "times")
    try:
        found = seconds(times, unit)
    except BadValueError as error:
        raise DataError(f"times: row {error.row} is {error}: {_REMEDY}") from error
    _one_each(len(found), _rows(table), "times")
    return found


def unit_of(table: Any, times: Any) -> float:
    """How many units of the numbers in `times` (see `times_of`) make a second, for `seconds`; 1 if there are none."""
    plain = times_of(table, times, NOT_EPOCH)
    return 1.0 if plain is None else epoch_scale(plain)


def seconds(times: Any, unit: float | None = None) -> Vector:
    """Read times of any kind as seconds, (n,), NaN where one is missing. Raises BadValueError for what is no time.

    Numbers that are seconds, ms, us or ns since 1970, between 2001 and 2100, are known for that. Others are in `unit`:
    so many make a second. NOT_EPOCH: all are seconds since whenever. None: what most of these numbers are.
    """
    if hasattr(times, "to_pylist"):  # a column of a table
        from aestream.features import arrow  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

        microseconds, times = arrow.moments_of(times)
        if microseconds is not None:
            return microseconds / UNITS["us"]
    array = np.asarray(times) if hasattr(times, "dtype") or _all_moments(times) else None
    if array is not None and array.dtype.kind == "M":
        moments = array.astype("datetime64[us]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / UNITS["us"])
    values = [_midnight(value) if type(value) is datetime.date else value for value in _listed(times)]
    try:
        numbers = Column().column(values)
    except BadValueError:
        return _moments(values)
    unit = epoch_scale(numbers) if unit is None else unit
    return numbers if unit == NOT_EPOCH else numbers / _scales(numbers, unit)


def _moments(values: list[Any]) -> Vector:
    """Read ISO 8601 text and datetimes as seconds, (n,). Raises BadValueError for anything else."""
    try:
        return Column(Kind.TIMESTAMP, unit=TEXT).column(values)
    except BadValueError as error:
        if isinstance(values[error.row], int | float) and str in map(type, values):
            raise BadValueError(error.row, "a number, and others are text") from error
        raise


def epoch_scale(numbers: Vector) -> float:
    """How many units of most numbers (n,) make a second: 1, 1e3, 1e6 or 1e9 if they are since 1970, else NOT_EPOCH.

    One wrong time does not decide: the median does.
    """
    known = numbers[np.isfinite(numbers)]
    middle = np.median(known, keepdims=True) if len(known) else np.zeros(1)
    return float(_scales(middle, NOT_EPOCH)[0])


def _scales(numbers: Vector, otherwise: float) -> Vector:
    """How many units of each number (n,) make a second, where it tells."""
    scales = np.full(len(numbers), otherwise)
    for scale in UNITS.values():
        scales[(numbers >= EPOCH_RANGE[0] * scale) & (numbers <= EPOCH_RANGE[1] * scale)] = scale
    return scales


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


def _all_moments(times: Any) -> bool:
    return isinstance(times, list | tuple) and bool(times) and all(isinstance(time, np.datetime64) for time in times)


def _rows(table: Any) -> int:
    try:
        return len(table)
    except TypeError:
        raise DataError("the table has no rows: give an array, a DataFrame or a list of records") from None


def _one_each(given: int, rows: int, what: str) -> None:
    if given != rows:
        raise DataError(f"there are {given} {what} for {rows} rows: give one for each row")


def _named(table: Any, name: str, what: str) -> Any:
    """The column of this name. Raises DataError when there is none."""
    column = _column(table, name)
    if column is None:
        raise DataError(f"`{what}` names {name!r}, and the table has no such column")
    return column


def _column(table: Any, name: str) -> Any:
    """A column of a DataFrame, or a field of records as a list; None where no record has it, and in an array."""
    frame = frame_of(table)
    if frame is not None:
        from aestream.features import arrow  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

        return arrow.column_at(frame, {there: place for place, there in enumerate(frame.column_names)}, (name,))
    records = records_of(table)
    if records is None:
        return None
    path = tuple(name.split("."))
    values = [lookup(record, (name,) if name in record else path) for record in records]
    return None if all(value is MISSING for value in values) else [None if v is MISSING else v for v in values]


def _listed(values: Any) -> list[Any]:
    """A sequence of any library as a list of Python's objects, of tuples where it has several columns."""
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(values, method):
            listed = getattr(values, method)()
            return listed if isinstance(listed, list) else [listed]
    frame = frame_of(values)
    if frame is not None:
        return list(zip(*(column.to_pylist() for column in frame.columns), strict=True))
    try:
        return list(values)
    except TypeError:
        raise DataError(f"{type(values).__name__} is not a sequence: give a value for each row") from None


def _key(value: Any) -> Key:
    """One entity's key: equal for equal keys of any library. Raises TypeError for what cannot be one."""
    kind = type(value)
    if kind in _KEYS:
        return value  # type: ignore[no-any-return]
    if isinstance(value, list | tuple):
        return tuple(_key(part) for part in value)
    if isinstance(value, np.generic):
        return _key(value.item())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Mapping | Sequence | np.ndarray | set):
        raise TypeError(f"a key is {kind.__name__}")
    return None if kind.__name__ in {"NAType", "NaTType"} else str(value)
