"""Arrow tables, of files and DataFrames: to records that a schema is inferred from, and to a matrix, without pandas."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aestream.columns import TEXT, UNITS, BadValueError, Column, Kind, describe
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema, Path
from aestream.quantities import BASES, stands_for_nothing, text_number, unit_remedy
from aestream.types import Matrix, Vector

Problems: TypeAlias = dict[int, str]  # by row, what is wrong with it, in words
Rows: TypeAlias = NDArray[np.intp]

_PLAIN_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_FLAGS = {"true": 1.0, "false": 0.0}
_WANTED = {Kind.NUMERIC: "a number", Kind.BOOLEAN: "true or false", Kind.TIMESTAMP: "a timestamp"}
_SHOWN_CHARACTERS = 40
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999, in us since 1970


def records_of(table: pa.Table) -> list[Mapping[str, Any]]:
    """The rows as mappings, nested where the columns are: numbers as float, moments as datetime in UTC.

    A value that no feature can be made of becomes an object whose type has the name of what it is.
    """
    columns = [_values(plain(column)) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def moments_of(column: pa.ChunkedArray | pa.Array) -> tuple[Vector | None, Sequence[Any]]:
    """Microseconds since 1970 of a column of moments, (n,), NaN for a missing one; of others None, and the values."""
    whole = plain(pa.chunked_array([column]) if isinstance(column, pa.Array) else column)
    if not pa.types.is_timestamp(whole.type):
        return None, whole.to_pylist()
    return np.array(whole.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(), np.float64), ()


def matrix_of(table: pa.Table, schema: FeatureSchema) -> tuple[Matrix, Problems]:
    """The features of a table, float64 (n, d), and what is wrong with the rows that cannot be used.

    NaN stands for an unusable value and for a missing one. A column is found by the feature's path, or by its dotted
    name. Raises DataError when a feature that is not imputed has no column.
    """
    places = {name: place for place, name in enumerate(table.column_names)}
    found = [column_at(table, places, path) for path in schema.paths]
    pairs = list(zip(schema.names, schema.columns, found, strict=True))
    absent = [name for name, feature, there in pairs if there is None and not feature.imputed]
    if absent:
        raise DataError(
            f"the table lacks {', '.join(absent[:5])}, which the model needs; it has "
            f"{', '.join(table.column_names[:10])}"
        )
    matrix = np.full((len(table), len(schema)), np.nan)
    problems: Problems = {}
    for i, (name, feature, there) in enumerate(pairs):
        if there is not None:
            column = plain(there)
            matrix[:, i], odd = _numbers(column, feature)
            for row in (odd if feature.imputed else np.flatnonzero(np.isnan(matrix[:, i]))).tolist():
                problems.setdefault(row, f"{name} is {_told(name, column, row, feature)}")
    return matrix, problems


def repeated(names: Sequence[str]) -> str | None:
    """The first name that is there more than once, or None."""
    return next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None


def parsed(texts: pa.ChunkedArray, number: Callable[[str], float]) -> tuple[Vector, Rows]:
    """Texts as numbers (n,), NaN where there is none; and the rows of the texts that `number` refuses.

    `number` reads each different text that is not plainly a number. It raises ValueError for one that is none.
    """
    try:
        return _floats(pc.cast(texts, pa.float64())), _none()
    except pa.ArrowInvalid:
        simple = pc.match_substring_regex(texts, _PLAIN_NUMBER)
    numbers = _floats(pc.cast(pc.if_else(simple, texts, pa.scalar(None, pa.string())), pa.float64()))
    rows = np.flatnonzero(pc.fill_null(pc.invert(simple), fill_value=False).to_numpy())
    numbers[rows], refused = _read_each(texts.take(pa.array(rows)), number)
    return numbers, rows[refused]


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any kind as text, with numbers and flags as JSON has them; whole numbers keep all their digits."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    simple = plain(column)
    if simple.type in {pa.bool_(), pa.float64(), pa.string(), pa.null()}:
        return _as_text(simple)
    try:
        return simple.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"a column of {_name(column.type)} cannot be read as text: name another one") from None


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in one of a few types: null, bool, float64, string, timestamp (us, in UTC) or struct.

    Durations become seconds, dates become moments, times of day become text. Types that are of no use stay as they are.
    """
    if pa.types.is_dictionary(column.type):
        return _without_dictionary(column)
    for fits, convert in _CONVERSIONS:
        if fits(column.type):
            try:
                return convert(column)
            except pa.ArrowInvalid:  # bytes that are no text, a moment out of range
                break
    return column


def _without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    taken = [
        plain(pa.chunked_array([chunk.dictionary])).combine_chunks().take(chunk.indices) for chunk in column.chunks
    ]
    return pa.chunked_array(taken, None if taken else pa.string())


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Timestamps of any unit and zone in us and UTC."""
    return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64()).cast(pa.timestamp("us"))


def _seconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Durations in seconds."""
    return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), UNITS[column.type.unit])


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


_CONVERSIONS: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = (
    (_is_number, lambda column: column.cast(pa.float64(), safe=False)),
    (pa.types.is_duration, _seconds),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_date, lambda column: column.cast(pa.timestamp("us"))),
    (lambda kind: pa.types.is_time(kind) or _is_text(kind) or _is_bytes(kind), lambda column: column.cast(pa.string())),
)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A plain column as objects, None where one is missing."""
    kind = column.type
    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        children = [_values(plain(pc.struct_field(column, [i]))) for i in range(kind.num_fields)]
        rows = zip(*children, strict=True) if children else ((),) * len(column)
        there = column.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if yes else None for row, yes in zip(rows, there, strict=True)]
    if pa.types.is_timestamp(kind):
        moments = column.cast(pa.int64())
        within = pc.and_(pc.greater_equal(moments, _EARLIEST), pc.less_equal(moments, _LATEST))
        found = pc.if_else(within, column, pa.scalar(None, kind)).to_pylist()
        return [None if moment is None else moment.replace(tzinfo=datetime.UTC) for moment in found]
    if kind in {pa.null(), pa.bool_(), pa.float64(), pa.string()}:
        return column.to_pylist()  # type: ignore[no-any-return]
    marker = [] if pa.types.is_nested(kind) else type(_name(kind), (), {})()
    return [marker if yes else None for yes in column.is_valid().to_pylist()]


def _name(kind: pa.DataType) -> str:
    """What a value of a type is called."""
    types = pa.types
    names: Sequence[tuple[Callable[[pa.DataType], bool], str]] = (
        (types.is_struct, "an object"),
        (types.is_nested, "a list"),
        (types.is_timestamp, "a timestamp"),
        (types.is_boolean, "true/false"),
        (types.is_fixed_size_binary, "bytes"),
        (_is_bytes, "bytes"),
    )
    return next((name for fits, name in names if fits(kind)), str(kind))


def column_at(table: pa.Table, places: Mapping[str, int], path: Path) -> pa.ChunkedArray | None:
    """The column under a path, whether the table is nested or has dotted names. `places` has those of its columns."""
    dotted = ".".join(path)
    for way in (path, (dotted,), tuple(dotted.split("."))):
        if way[0] in places:
            column = table.column(places[way[0]])
            for part in way[1:]:
                place = column.type.get_field_index(part) if pa.types.is_struct(column.type) else -1
                if place < 0:
                    break
                column = pc.struct_field(column, [place])
            else:
                return column
    return None


def _numbers(column: pa.ChunkedArray, feature: Column) -> tuple[Vector, Rows]:
    """A plain column as a feature's numbers (n,), NaN where there is none; and the rows whose value does not fit."""
    kind, wanted = column.type, feature.kind
    if kind == pa.string() and (feature.unit == TEXT or (wanted is Kind.NUMERIC and feature.unit)):
        try:
            return feature.column(column.to_pylist()), _none()
        except BadValueError:
            return _read_each(column, feature.number)
    if kind in {pa.float64(), pa.string()} and (wanted is Kind.NUMERIC or feature.unit not in {"", TEXT}):
        numbers, odd = parsed(column, feature.number if wanted is Kind.NUMERIC else text_number)
        numbers[np.isinf(numbers)] = np.nan
        return numbers / UNITS.get(feature.unit, 1.0), odd
    if kind in {pa.bool_(), pa.float64(), pa.string()} and wanted in {Kind.BOOLEAN, Kind.CATEGORICAL}:
        return _read_each(_as_text(column), _flag if wanted is Kind.BOOLEAN else feature.number)
    if kind == pa.timestamp("us") and wanted is Kind.TIMESTAMP:
        return _floats(column.cast(pa.int64()).cast(pa.float64(), safe=False)) / UNITS["us"], _none()
    return np.full(len(column), np.nan), np.flatnonzero(column.is_valid().to_numpy())


def _read_each(texts: pa.ChunkedArray, number: Callable[[str], float]) -> tuple[Vector, Rows]:
    """Read each different text once: the numbers (n,), NaN where there is none, and the rows of those refused."""
    codes = texts.combine_chunks().dictionary_encode()
    read = np.full(len(codes.dictionary) + 1, np.nan)  # the last one is for null
    refused = np.zeros(len(read), bool)
    for place, text in enumerate(codes.dictionary.to_pylist()):
        try:
            read[place] = number(text)
        except (ValueError, OverflowError):
            refused[place] = True
    places = pc.fill_null(codes.indices, -1).to_numpy()
    return read[places], np.flatnonzero(refused[places])


def _flag(text: str) -> float:
    known = _FLAGS.get(text.strip().lower())
    if known is not None:
        return known
    if stands_for_nothing(text):
        return float("nan")
    raise ValueError(text)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers and flags as the text that JSON would have: 1 rather than 1.0."""
    if column.type != pa.float64():
        return column.cast(pa.string())
    shown = (None if n is None else str(int(n)) if n.is_integer() else str(n) for n in column.to_pylist())
    return pa.chunked_array([list(shown)], pa.string())


def _floats(column: pa.ChunkedArray) -> Vector:
    """Numbers as float64 (n,) to write into, NaN for null."""
    return np.array(column.to_numpy())


def _none() -> Rows:
    return np.empty(0, np.intp)


def _told(name: str, column: pa.ChunkedArray, row: int, feature: Column) -> str:
    """What stands in a row in place of a feature's value, and what would help."""
    if not column[row].is_valid:
        return "missing"
    if column.type not in {pa.string(), pa.float64()}:
        return f"{_name(column.type)}, not {_WANTED.get(feature.kind, 'text')}"
    value = column[row].as_py()
    if not isinstance(value, str):
        return describe(value) if feature.kind is Kind.NUMERIC else f"a number, not {_WANTED[feature.kind]}"
    shown = f'"{value[:_SHOWN_CHARACTERS]}"'
    if stands_for_nothing(value):
        return shown
    if feature.kind is Kind.NUMERIC and feature.unit:
        return f"{shown}, not a number of {BASES[feature.unit]}"
    remedy = unit_remedy(name, value) if feature.kind is Kind.NUMERIC else ""
    return f"{shown}: {remedy}" if remedy else f"{shown}, not {_WANTED[feature.kind]}"
