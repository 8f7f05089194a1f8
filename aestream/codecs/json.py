"""JSON objects to columns, flat or nested, by a typed decoder that is built for the schema's paths."""

from __future__ import annotations

import itertools
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from aestream.codecs.base import Decoded
from aestream.errors import DataError
from aestream.types import Invalid, Reason

Path = tuple[str, ...]

# What msgspec raises for a value that is no JSON of the wanted shape; RecursionError for absurd nesting.
_UNDECODABLE = (msgspec.MsgspecError, RecursionError, ValueError)
_UNUSABLE = re.compile(r'["\\\x00-\x1f]')  # in a field's name, as the typed decoder has it


class JsonDecoder:
    """Decodes JSON objects into the numbers at `paths`.

    Only the wanted fields are built; types are checked by msgspec in C: a number in quotes, a boolean or a null is
    not a number. The call count in Python grows with batches and with invalid records, not with records.
    """

    def __init__(self, paths: Sequence[Path], *, max_record_bytes: int) -> None:
        self._paths = tuple(paths)
        self._max_bytes = max_record_bytes
        shape, self._flatten = _row_type(self._paths)
        self._decode_row: Callable[[Any], Any] = msgspec.json.Decoder(shape).decode

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode a batch of JSON values.

        Returns the float64 matrix (m, d) of the valid rows. A row is invalid when it is empty, longer than
        `max_record_bytes`, not JSON, not an object, or when a feature is missing, not a number or not finite.
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
                invalid.append(self._diagnose(taken, values[taken]))
                taken += 1
        matrix = np.fromiter(self._flatten(rows), np.float64, len(rows) * len(self._paths))
        matrix = matrix.reshape(len(rows), len(self._paths))
        return _without_non_finite(Decoded(matrix, np.asarray(places, np.intp), invalid), self._paths)

    def _decode_checked(self, values: Sequence[bytes | None]) -> Callable[[bytes | None], Any]:
        """The row decoder, with the check of the size only where a value of the batch needs it."""
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
        """Say in a person's words why the typed decoder refused a value."""
        if not value:
            return Invalid(row, Reason.EMPTY, "the value is empty")
        if len(value) > self._max_bytes:
            return Invalid(row, Reason.TOO_LARGE, f"{len(value)} bytes, more than the limit of {self._max_bytes}")
        try:
            document = json.loads(value, parse_int=float)  # an integer of any length is a number, perhaps infinite
        except (ValueError, RecursionError) as error:
            return Invalid(row, Reason.BAD_JSON, f"not JSON: {_first_line(error)}")
        if not isinstance(document, dict):
            return Invalid(row, Reason.WRONG_SHAPE, f"a JSON object is wanted, this is {_kind(document)}")
        for path in self._paths:
            problem = _problem_at(document, path)
            if problem:
                return Invalid(row, *problem)
        return Invalid(row, Reason.BAD_JSON, f"not JSON: {self._complaint(value)}")

    def _complaint(self, value: bytes) -> str:
        """What the typed decoder has against a value that `json` takes: NaN, a byte order mark, a lone surrogate."""
        try:
            self._decode_row(value)
        except _UNDECODABLE as error:
            return _first_line(error)
        return "refused"


def _row_type(paths: Sequence[Path]) -> tuple[type, Callable[[list[Any]], Iterator[float]]]:
    """Build the typed struct for the paths, and the function that turns rows of it into a flat run of numbers."""
    tree: dict[str, Any] = {}
    for path in paths:
        if any(_UNUSABLE.search(part) for part in path):
            raise DataError(
                f"the field {_name(path)!r} cannot be a feature, for a quote, backslash or control character in its "
                "name: leave it out by AESTREAM_FEATURES__EXCLUDE"
            )
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = float
    names: dict[Path, str] = {}

    def struct(node: dict[str, Any], path: Path, attribute: str) -> type:
        fields = []
        for i, (key, child) in enumerate(node.items()):
            here = (*path, key)
            dotted = f"{attribute}.f{i}" if attribute else f"f{i}"
            names[here] = dotted
            kind = float if child is float else struct(child, here, dotted)
            fields.append((f"f{i}", kind, msgspec.field(name=key)))
        return msgspec.defstruct("Row", fields, gc=False)

    shape = struct(tree, (), "")
    attributes = [names[path] for path in paths]
    if attributes == [f"f{i}" for i in range(len(paths))]:
        astuple = msgspec.structs.astuple
        return shape, lambda rows: itertools.chain.from_iterable(map(astuple, rows))
    pick: Callable[[Any], Any] = operator.attrgetter(*attributes)
    if len(paths) == 1:
        return shape, lambda rows: map(pick, rows)
    return shape, lambda rows: itertools.chain.from_iterable(map(pick, rows))


def _without_non_finite(decoded: Decoded, paths: Sequence[Path]) -> Decoded:
    """Move rows that hold an infinite number to the invalid ones."""
    finite = np.isfinite(decoded.matrix)
    if finite.all():
        return decoded
    keep = finite.all(axis=1)
    bad = [
        Invalid(
            int(decoded.rows[i]),
            Reason.NOT_FINITE,
            f"{_name(paths[int(np.argmin(finite[i]))])} is not finite",
        )
        for i in np.flatnonzero(~keep)
    ]
    invalid = sorted([*decoded.invalid, *bad], key=operator.attrgetter("row"))
    return Decoded(decoded.matrix[keep], decoded.rows[keep], invalid)


def _problem_at(document: dict[str, Any], path: Path) -> tuple[Reason, str] | None:
    """What is wrong with one feature of a decoded object, if anything."""
    value: Any = document
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return Reason.MISSING_FEATURE, f"{_name(path)} is missing"
        value = value[part]
    if not isinstance(value, float):
        return Reason.NOT_NUMERIC, f"{_name(path)} is {_kind(value)}, not a number"
    return None if math.isfinite(value) else (Reason.NOT_FINITE, f"{_name(path)} is not finite")


def _name(path: Path) -> str:
    return ".".join(path)


def _kind(value: object) -> str:
    """A JSON value's kind, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kind, word in ((str, "text"), (list, "an array"), (dict, "an object")):
        if isinstance(value, kind):
            return word
    return "a number"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def documents(values: Sequence[bytes | None]) -> list[dict[str, Any]]:
    """The JSON objects among the values, whole, for inferring a schema; anything else is left out."""
    found = []
    for value in values:
        try:
            document = msgspec.json.decode(value or b"")
        except _UNDECODABLE:
            continue
        if isinstance(document, dict):
            found.append(document)
    return found
