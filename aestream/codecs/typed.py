"""JSON objects to columns by a typed decoder, built for the schema's paths: the fast way, for ordinary records."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from aestream.codecs.parsing import UNDECODABLE
from aestream.codecs.problems import Path
from aestream.columns import Column
from aestream.types import Matrix, Places

_UNUSABLE = re.compile(r'["\\\x00-\x1f]')  # what msgspec cannot have in a field's name


class TypedRows:
    """Reads the values that hold exactly what the columns expect, and says which others there are.

    Only the fields at `paths` are built, and msgspec checks their types in C. The number of calls in Python grows with
    the batches and with the other values, not with all values.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[Column], *, max_record_bytes: int) -> None:
        self._columns = tuple(columns)
        self._may_be_missing = np.array([column.imputed for column in columns], bool)
        # numbers and booleans need no conversion
        self._ready = not any(column.categories or column.unit or column.quoted for column in columns)
        self._max_bytes = max_record_bytes
        shape, self._flatten = _row_type(paths, columns)
        self._decode_row: Callable[[Any], Any] = msgspec.json.Decoder(shape).decode

    @staticmethod
    def can_have(paths: Sequence[Path]) -> bool:
        """Whether a typed decoder can have fields at these paths: no odd names, and none that is an object as well."""
        objects = {path[:i] for path in paths for i in range(len(path))}
        return objects.isdisjoint(paths) and not any(_UNUSABLE.search(part) for path in paths for part in path)

    def read(self, values: Sequence[bytes | None]) -> tuple[Matrix, Places, list[int]]:
        """The features (m, d) of the values that are as expected, their places (m,), and the places of the others."""
        rows: list[Any] = []
        places: list[int] = []
        others: list[int] = []
        # map() runs in C until a value fails; the list keeps what came before it, so its length says which one.
        pending: Iterator[Any] = map(self._decode_checked(values), values)
        taken = 0
        while taken < len(values):
            before = len(rows)
            try:
                rows.extend(pending)
            except UNDECODABLE:
                failed = True
            else:
                failed = False
            good = len(rows) - before
            places.extend(range(taken, taken + good))
            taken += good
            if failed:
                others.append(taken)
                taken += 1
        return self._usable(self._numbers(rows), np.asarray(places, np.intp), others)

    def _numbers(self, rows: list[Any]) -> Matrix:
        """Turn decoded rows into numbers (m, d); infinite where a text does not fit its column."""
        width = len(self._columns)
        if self._ready:
            return np.fromiter(self._flatten(rows), np.float64, len(rows) * width).reshape(len(rows), width)
        fields = list(self._flatten(rows))
        matrix = np.empty((len(rows), width))
        for place, column in enumerate(self._columns):
            values = fields[place::width]
            try:
                matrix[:, place] = column.numbers(values)
            except (ValueError, OverflowError):
                matrix[:, place] = [_number(column, value) for value in values]
        return matrix

    def _usable(self, matrix: Matrix, places: Places, others: list[int]) -> tuple[Matrix, Places, list[int]]:
        """Put the rows with an infinite number, or NaN where it may not be, to the others."""
        finite = np.isfinite(matrix)
        if finite.all():
            return matrix, places, others
        good = (finite | (np.isnan(matrix) & self._may_be_missing)).all(axis=1)
        return matrix[good], places[good], sorted([*others, *places[~good].tolist()])

    def _decode_checked(self, values: Sequence[bytes | None]) -> Callable[[bytes | None], Any]:
        """The row decoder, with a check of the size only if a value of the batch needs it."""
        largest = max(map(len, filter(None, values)), default=0)
        if largest <= self._max_bytes:
            return self._decode_present if None in values else self._decode_row
        return self._decode_bounded

    def _decode_present(self, value: bytes | None) -> Any:
        return self._decode_row(value or b"")

    def _decode_bounded(self, value: bytes | None) -> Any:
        if value is not None and len(value) > self._max_bytes:
            raise ValueError
        return self._decode_present(value)


def _number(column: Column, value: object) -> float:
    try:
        return column.number(value)
    except ValueError:
        return np.inf


def _may_be_null(paths: Sequence[Path], columns: Sequence[Column]) -> set[Path]:
    """The objects whose features may all be missing."""
    needed = {
        path[:i] for path, column in zip(paths, columns, strict=True) if not column.imputed for i in range(len(path))
    }
    return {path[:i] for path in paths for i in range(1, len(path))} - needed


def _row_type(paths: Sequence[Path], columns: Sequence[Column]) -> tuple[type, Callable[[list[Any]], Iterator[Any]]]:
    """Build the typed struct for the paths, and the function that turns rows of it into a flat iterator of fields."""
    tree: dict[str, Any] = {}
    for path, column in zip(paths, columns, strict=True):
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = column
    may_be_null = _may_be_null(paths, columns)
    names: dict[Path, str] = {}

    def struct(node: dict[str, Any], path: Path, attribute: str) -> type:
        fields: list[tuple[str, Any, Any]] = []
        for i, (key, child) in enumerate(node.items()):
            here = (*path, key)
            dotted = f"{attribute}.f{i}" if attribute else f"f{i}"
            names[here] = dotted
            if isinstance(child, dict):
                inner = struct(child, here, dotted)
                absent = {"default_factory": inner} if here in may_be_null else {}
                fields.append((f"f{i}", inner, msgspec.field(name=key, **absent)))
            elif child.imputed:
                fields.append((f"f{i}", child.wire | None, msgspec.field(name=key, default=None)))
            else:
                fields.append((f"f{i}", child.wire, msgspec.field(name=key)))
        return msgspec.defstruct("Row", fields, gc=False, kw_only=True)

    shape = struct(tree, (), "")
    attributes = [names[path] for path in paths]
    if attributes == [f"f{i}" for i in range(len(paths))]:
        astuple = msgspec.structs.astuple
        return shape, lambda rows: itertools.chain.from_iterable(map(astuple, rows))
    pick: Callable[[Any], Any] = operator.attrgetter(*attributes)
    if len(paths) == 1:
        return shape, lambda rows: map(pick, rows)
    return shape, lambda rows: itertools.chain.from_iterable(map(pick, rows))
