"""JSON objects to columns, flat or nested, by a typed decoder that is built for the schema's paths."""

from __future__ import annotations

import itertools
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from aestream.codecs.base import Decoded
from aestream.codecs.problems import Path, named, problem_in
from aestream.columns import Column
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.types import Invalid, Matrix, Reason

# What msgspec raises for a value that is not JSON of the expected shape; RecursionError for absurdly deep nesting.
_UNDECODABLE = (msgspec.MsgspecError, RecursionError, ValueError)
_UNUSABLE = re.compile(r'["\\\x00-\x1f]')  # what the typed decoder cannot have in a field's name


@dataclass(frozen=True, slots=True)
class JsonCodec:
    """Records that are JSON objects. A value of more than `max_record_bytes` is invalid."""

    max_record_bytes: int
    record = "a JSON object"

    def documents(self, values: Sequence[bytes | None]) -> list[Mapping[str, Any] | None]:
        """Each JSON object, complete; None for a value that is not one."""
        return list(map(_document, values))

    def decoder(self, schema: FeatureSchema) -> JsonDecoder:
        """Make the decoder for a schema. Raises DataError for a field name that the typed decoder cannot have."""
        return JsonDecoder(schema.paths, schema.columns, max_record_bytes=self.max_record_bytes)


class JsonDecoder:
    """Decodes JSON objects into the columns at `paths`; without `columns`, all are numbers that must be present.

    Only the fields at `paths` are built, and msgspec checks their types in C: a number in quotes, a boolean or null is
    not a number. The number of calls in Python grows with the batches and the invalid records, not with all records.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[Column] = (), *, max_record_bytes: int) -> None:
        self._paths = tuple(paths)
        self._columns = tuple(columns) or (Column(),) * len(self._paths)
        self._may_be_missing = np.array([column.imputed for column in self._columns], bool)
        # numbers and booleans need no conversion
        self._ready = not any(column.categories or column.unit for column in self._columns)
        self._max_bytes = max_record_bytes
        self._may_be_null = _may_be_null(self._paths, self._columns)
        self._shape, self._flatten = _row_type(self._paths, self._columns, self._may_be_null)
        self._decode_row: Callable[[Any], Any] = msgspec.json.Decoder(self._shape).decode

    def decode(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None] = (), timestamps: Sequence[int] = ()
    ) -> Decoded:
        """Decode a batch of JSON values.

        Returns the float64 matrix (m, d) of the valid rows. A row is invalid when it is empty, longer than
        `max_record_bytes`, not JSON, not an object, or when a feature is missing, of another kind or not finite.
        """
        rows: list[Any] = []
        places: list[int] = []
        invalid: list[Invalid] = []
        # map() runs in C until a value fails; the list keeps what came before it, so its length says which one.
        pending: Iterator[Any] = map(self._decode_checked(values), values)
        taken = 0
        while taken < len(values):
            before = len(rows)
            try:
                rows.extend(pending)
            except _UNDECODABLE:
                failed = True
            else:
                failed = False
            good = len(rows) - before
            places.extend(range(taken, taken + good))
            taken += good
            if failed:
                repaired = self._without_null_objects(values[taken])
                if repaired is None:
                    invalid.append(self._diagnose(taken, values[taken]))
                else:
                    rows.append(repaired)
                    places.append(taken)
                taken += 1
        matrix, unreadable = self._numbers(rows, places)
        decoded = Decoded.of(matrix, np.asarray(places, np.intp), invalid, keys, timestamps).without(unreadable)
        return decoded.without(self._non_finite(decoded))

    def _numbers(self, rows: list[Any], places: list[int]) -> tuple[Matrix, list[Invalid]]:
        """Turn decoded rows into numbers (m, d), and find those with a text that is not a timestamp."""
        width = len(self._paths)
        if self._ready:
            matrix = np.fromiter(self._flatten(rows), np.float64, len(rows) * width)
            return matrix.reshape(len(rows), width), []
        fields = list(self._flatten(rows))
        matrix = np.empty((len(rows), width))
        bad: dict[int, Invalid] = {}
        for place, column in enumerate(self._columns):
            values = fields[place::width]
            try:
                matrix[:, place] = column.numbers(values)
            except (ValueError, OverflowError):
                for row, value in enumerate(values):
                    try:
                        matrix[row, place] = column.number(value)
                    except ValueError as error:
                        message = f"{named(self._paths[place])} is {error}"
                        bad[row] = Invalid(places[row], Reason.WRONG_TYPE, message)
        return matrix, list(bad.values())

    def _non_finite(self, decoded: Decoded) -> list[Invalid]:
        """Find the rows that hold an infinite number, or NaN for a feature that must be present."""
        finite = np.isfinite(decoded.matrix)
        if finite.all():
            return []
        finite |= np.isnan(decoded.matrix) & self._may_be_missing
        return [
            Invalid(
                int(decoded.rows[i]),
                Reason.NOT_FINITE,
                f"{named(self._paths[int(np.argmin(finite[i]))])} is not finite",
            )
            for i in np.flatnonzero(~finite.all(axis=1))
        ]

    def _without_null_objects(self, value: bytes | None) -> Any:
        """Decode a value again, with null as an empty object where all of its features may be missing.

        Returns None when the value cannot be decoded so either.
        """
        if not self._may_be_null or not value or len(value) > self._max_bytes:
            return None
        try:
            document = msgspec.json.decode(value)
            for path in self._may_be_null:
                parent = document
                for part in path[:-1]:
                    parent = parent.get(part, {}) if isinstance(parent, dict) else {}
                if isinstance(parent, dict) and parent.get(path[-1], ...) is None:
                    del parent[path[-1]]
            return msgspec.convert(document, self._shape)
        except _UNDECODABLE:
            return None

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

    def _diagnose(self, row: int, value: bytes | None) -> Invalid:
        """Say in plain words why the typed decoder refused a value."""
        if not value:
            return Invalid(row, Reason.EMPTY, "the value is empty")
        if len(value) > self._max_bytes:
            return Invalid(row, Reason.TOO_LARGE, f"{len(value)} bytes, more than the limit of {self._max_bytes}")
        try:
            document = json.loads(value, parse_int=float)  # an integer of any length is a number, perhaps infinite
        except (ValueError, RecursionError) as error:
            return Invalid(row, Reason.BAD_JSON, f"not JSON: {_first_line(error)}")
        problem = problem_in(document, JsonCodec.record, self._paths, self._columns)
        return Invalid(row, *(problem or (Reason.BAD_JSON, f"not JSON: {self._complaint(value)}")))

    def _complaint(self, value: bytes) -> str:
        """Why the typed decoder refuses a value that `json` accepts: NaN, a byte order mark, a lone surrogate."""
        try:
            self._decode_row(value)
        except _UNDECODABLE as error:
            return _first_line(error)
        return "refused"


def _may_be_null(paths: Sequence[Path], columns: Sequence[Column]) -> list[Path]:
    """The objects whose features may all be missing, outermost first."""
    needed = {
        path[:i] for path, column in zip(paths, columns, strict=True) if not column.imputed for i in range(len(path))
    }
    return sorted({path[:i] for path in paths for i in range(1, len(path))} - needed, key=len)


def _row_type(
    paths: Sequence[Path], columns: Sequence[Column], may_be_null: Sequence[Path]
) -> tuple[type, Callable[[list[Any]], Iterator[Any]]]:
    """Build the typed struct for the paths, and the function that turns rows of it into a flat iterator of fields."""
    tree: dict[str, Any] = {}
    for path, column in zip(paths, columns, strict=True):
        if any(_UNUSABLE.search(part) for part in path):
            raise DataError(
                f"the field {named(path)!r} cannot be a feature, because its name has a quote, a backslash or a "
                "control character: leave it out with `exclude`"
            )
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = column
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


def _document(value: bytes | None) -> Mapping[str, Any] | None:
    try:
        document = msgspec.json.decode(value or b"")
    except _UNDECODABLE:
        return None
    return document if isinstance(document, dict) else None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
