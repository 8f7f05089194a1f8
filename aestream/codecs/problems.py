"""What is wrong with a record that a decoder has refused, in the same words for every format."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aestream.columns import Column
from aestream.types import Reason

Path = tuple[str, ...]
Problem = tuple[Reason, str]


def problem_in(document: object, record: str, paths: Sequence[Path], columns: Sequence[Column]) -> Problem | None:
    """The first problem with the features at `paths`; None where there is none. `record` is what is expected."""
    if not isinstance(document, dict):
        return Reason.WRONG_SHAPE, f"{record} is expected, not {_kind(document)}"
    problems = (_problem_at(document, path, column) for path, column in zip(paths, columns, strict=True))
    return next((problem for problem in problems if problem is not None), None)


def named(path: Path) -> str:
    """The name of a feature."""
    return ".".join(path)


def _problem_at(document: object, path: Path, column: Column) -> Problem | None:
    value = document
    for part in path:
        if value is None and column.imputed:
            return None
        if not isinstance(value, dict) or (part not in value and not column.imputed):
            return Reason.MISSING_FEATURE, f"{named(path)} is missing"
        value = value.get(part)
    if value is None and column.imputed:
        return None
    if column.wire is not float:
        fits = isinstance(value, column.wire)
        wanted = "true or false" if column.wire is bool else "text"
        return None if fits else (Reason.WRONG_TYPE, f"{named(path)} is {_kind(value)}, not {wanted}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Reason.NOT_NUMERIC, f"{named(path)} is {_kind(value)}, not a number"
    return None if math.isfinite(value) else (Reason.NOT_FINITE, f"{named(path)} is not finite")


def _kind(value: object) -> str:
    """What a value is, in words that JSON and its relatives share."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kind, word in ((str, "text"), (list, "an array"), (dict, "an object"), (int | float, "a number")):
        if isinstance(value, kind):
            return word
    return "something else"
