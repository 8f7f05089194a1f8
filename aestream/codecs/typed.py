"""JSON objects to columns by a typed decoder, built for the schema's paths: the fast way, for ordinary records."""

from __future__ import annotations

import itertools
import operator
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import msgspec
import numpy as np

from aestream.codecs.base import Decoded
from aestream.codecs.layouts import paths_of
from aestream.codecs.parsing import UNDECODABLE
from aestream.codecs.problems import Path
from aestream.columns import Column
from aestream.types import Matrix, Scalar

_UNUSABLE = re.compile(r'["\\\x00-\x1f]')  # what msgspec cannot have in a field's name
_MOST_DOTS = 4  # in an aside's name: each doubles the paths that it may mean


class TypedRows:
    """Reads the values that hold exactly what the columns expect, and says which others there are.

    Only the fields at `paths` are built and those at `asides`, the paths that each aside may mean. msgspec checks their
    types in C. The number of calls in Python grows with the batches and with the other values, not with all values.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        columns: Sequence[Column],
        asides: Mapping[str, Sequence[Path]],
        *,
        max_record_bytes: int,
    ) -> None:
        self._columns = tuple(columns)
        self._may_be_missing = np.array([column.imputed for column in columns], bool)
        # numbers and booleans need no conversion
        self._ready = not any(column.categories or column.unit or column.quoted for column in columns)
        self._max_bytes = max_record_bytes
        fields = _fields(paths, columns, asides)
        shape, attributes = _row_type(fields)
        chosen, alone = [attributes[path] for path in paths], len(fields) == len(paths)
        self._flatten = _flattened(chosen, alone=alone)
        # Rows of numbers alone become bytes at once, so that no object outlives its row: that takes 0.6 of the time.
        numbers = not asides and self._ready and not self._may_be_missing.any()
        self._pick = _picked(chosen, alone=alone) if numbers else None
        self._pack = struct.Struct(f"{len(chosen)}d").pack
        self._asides = {
            name: [operator.attrgetter(attributes[path]) for path in places] for name, places in asides.items()
        }
        self._decode_row: Callable[[Any], Any] = msgspec.json.Decoder(shape).decode

    @classmethod
    def of(
        cls, paths: Sequence[Path], columns: Sequence[Column], asides: Sequence[str], *, max_record_bytes: int
    ) -> Self | None:
        """Make one that reads the fields called `asides` as well.

        Returns None where a typed decoder cannot have all these fields: because of odd names, or of one that is an
        object as well.
        """
        if any(name.count(".") > _MOST_DOTS for name in asides):
            return None
        beside = {name: _places(name, paths) for name in asides}
        fields = {*paths, *itertools.chain.from_iterable(beside.values())}
        objects = {path[:i] for path in fields for i in range(len(path))}
        if not objects.isdisjoint(fields) or any(_UNUSABLE.search(part) for path in fields for part in path):
            return None
        return cls(paths, columns, beside, max_record_bytes=max_record_bytes)

    def read(self, values: Sequence[bytes | None], rows: Sequence[int]) -> tuple[Decoded, Sequence[int]]:
        """The features and asides of the values at these ascending rows that are as expected; the other rows."""
        if len(rows) == len(values):
            return self._read(values)
        decoded, others = self._read([values[row] for row in rows])
        return replace(decoded, rows=np.asarray(rows, np.intp)[decoded.rows]), [rows[place] for place in others]

    def _read(self, values: Sequence[bytes | None]) -> tuple[Decoded, list[int]]:
        rows: list[Any] = []
        places: list[int] = []
        others: list[int] = []
        # map() runs in C until a value fails; the list keeps what came before it, so its length says which one.
        pending: Iterator[Any] = map(self._decode_checked(values), values)
        if self._pick is not None:
            pending = itertools.starmap(self._pack, map(self._pick, pending))
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
        asides = {name: _first(rows, getters) for name, getters in self._asides.items()}
        return self._usable(Decoded(self._numbers(rows), np.asarray(places, np.intp), (), asides=asides), others)

    def _numbers(self, rows: list[Any]) -> Matrix:
        """Turn decoded rows into numbers (m, d); infinite where a text does not fit its column."""
        width = len(self._columns)
        if self._pick is not None:
            return np.frombuffer(bytearray().join(rows), np.float64).reshape(len(rows), width)
        if self._ready:
            try:
                return np.fromiter(self._flatten(rows), np.float64, len(rows) * width).reshape(len(rows), width)
            except OverflowError:  # an integer beyond 1.8e308, in a feature that is an aside as well
                pass
        fields = list(self._flatten(rows))
        matrix = np.empty((len(rows), width))
        for place, column in enumerate(self._columns):
            values = fields[place::width]
            try:
                matrix[:, place] = column.numbers(values)
            except (ValueError, OverflowError):
                matrix[:, place] = [_number(column, value) for value in values]
        return matrix

    def _usable(self, decoded: Decoded, others: list[int]) -> tuple[Decoded, list[int]]:
        """Put the rows with an infinite number, or NaN where it may not be, to the others."""
        finite = np.isfinite(decoded.matrix)
        if finite.all():
            return decoded, others
        good = (finite | (np.isnan(decoded.matrix) & self._may_be_missing)).all(axis=1)
        return decoded.kept(good), sorted([*others, *decoded.rows[~good].tolist()])

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


def _places(name: str, paths: Sequence[Path]) -> list[Path]:
    """The paths that an aside may mean; a feature is no object, so there is nothing in it."""
    return [path for path in paths_of(name) if not any(path[:i] in paths for i in range(1, len(path)))]


def _first(rows: list[Any], getters: Sequence[Callable[[Any], Scalar]]) -> list[Scalar]:
    """What is at the first of some places that has something, (m,)."""
    found: list[Scalar] = [None] * len(rows)
    for getter in getters:
        missing = found.count(None)
        if missing == len(rows):
            found = list(map(getter, rows))
        elif missing:
            found = [b if a is None else a for a, b in zip(found, map(getter, rows), strict=True)]
    return found


_Field = tuple[Any, bool]  # its type, and whether it must be there


def _fields(
    paths: Sequence[Path], columns: Sequence[Column], asides: Mapping[str, Sequence[Path]]
) -> dict[Path, _Field]:
    """The fields to build by path, first those of the features."""
    beside = list(itertools.chain.from_iterable(asides.values()))
    fields = {path: (column.wire, not column.imputed) for path, column in zip(paths, columns, strict=True)}
    for path in beside:
        wire, needed = fields.get(path, (str | int | float | bool, False))
        fields[path] = wire if wire in {bool, str} else wire | int, needed  # an aside keeps an integer as it is
    return fields


def _row_type(fields: Mapping[Path, _Field]) -> tuple[type, dict[Path, str]]:
    """Build the typed struct for some fields -> the struct, and the dotted attribute of each field."""
    tree: dict[str, Any] = {}
    for path, field in fields.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = field
    # the objects whose fields may all be missing do not have to be there
    objects = {path[:i] for path, (_, needed) in fields.items() if needed for i in range(len(path))}
    names: dict[Path, str] = {}

    def made(node: dict[str, Any], path: Path, attribute: str) -> type:
        members: list[tuple[str, Any, Any]] = []
        for i, (key, child) in enumerate(node.items()):
            here = (*path, key)
            dotted = f"{attribute}.f{i}" if attribute else f"f{i}"
            names[here] = dotted
            if isinstance(child, dict):
                inner = made(child, here, dotted)
                absent: dict[str, Any] = {} if here in objects else {"default_factory": inner}
                members.append((f"f{i}", inner, msgspec.field(name=key, **absent)))
            else:
                wire, needed = child
                absent = {} if needed else {"default": None}
                members.append((f"f{i}", wire if needed else wire | None, msgspec.field(name=key, **absent)))
        return msgspec.defstruct("Row", members, gc=False, kw_only=True)

    return made(tree, (), ""), names


def _picked(attributes: Sequence[str], *, alone: bool) -> Callable[[Any], tuple[Any, ...]] | None:
    """What turns a row into a tuple of its features; `alone`: it holds nothing else.

    None where that takes more than one call in C.
    """
    if attributes == [f"f{i}" for i in range(len(attributes))]:
        return msgspec.structs.astuple if alone else None
    return operator.attrgetter(*attributes) if len(attributes) > 1 else None


def _flattened(attributes: Sequence[str], *, alone: bool) -> Callable[[list[Any]], Iterator[Any]]:
    """The function that turns rows into a flat iterator of features; `alone`: the rows hold nothing else."""
    pick = _picked(attributes, alone=alone)
    if pick is not None:
        return lambda rows: itertools.chain.from_iterable(map(pick, rows))
    if attributes == [f"f{i}" for i in range(len(attributes))]:
        cut = operator.itemgetter(slice(len(attributes)))
        return lambda rows: itertools.chain.from_iterable(map(cut, map(msgspec.structs.astuple, rows)))
    return lambda rows: map(operator.attrgetter(*attributes), rows)
