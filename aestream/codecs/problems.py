"""What is wrong with a record that a decoder has refused, in the same words for every format."""

from __future__ import annotations

import math

from aestream.columns import Column, Kind, describe, is_number
from aestream.quantities import BASES, quantity, stands_for_nothing, text_number, unit_of, unit_remedy
from aestream.types import Reason

Path = tuple[str, ...]
Problem = tuple[Reason, str]


def named(path: Path) -> str:
    """The name of a feature."""
    return ".".join(path)


def problem_at(document: object, path: Path, column: Column) -> Problem:
    """What is wrong with a record whose feature at `path` cannot be used."""
    name = named(path)
    value = document
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return Reason.MISSING_FEATURE, f"{name} is missing"
        value = value[part]
    if isinstance(value, float) and not math.isfinite(value):
        return Reason.NOT_FINITE, f"{name} is {describe(value)}"
    if isinstance(value, str) and column.kind is not Kind.CATEGORICAL and stands_for_nothing(value):
        return Reason.MISSING_FEATURE, f"{name} is {value[:20]!r}, which stands for a missing value"
    if column.wire in {bool, str}:
        text = "a timestamp" if isinstance(value, str) else "text"
        wanted = "true or false" if column.wire is bool else text
        return Reason.WRONG_TYPE, f"{name} is {kind_of(value)}, not {wanted}"
    return _not_a_number(name, value, column)


def kind_of(value: object) -> str:
    """What a value is, in words that JSON and its relatives share."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kind, word in ((str, "text"), (list, "an array"), (dict, "an object"), (int | float, "a number")):
        if isinstance(value, kind):
            return word
    return "something else"


def _not_a_number(name: str, value: object, column: Column) -> Problem:
    """What is wrong with a value where a number belongs."""
    if isinstance(value, int) and not isinstance(value, bool) and not is_number(value):
        return Reason.NOT_FINITE, f"{name} is {describe(value)}"
    if isinstance(value, str):
        try:
            if column.unit in BASES:
                quantity(value, column.unit)
            else:
                text_number(value)
        except ValueError as error:
            unit = unit_of(value)
            if unit is not None and column.unit in BASES:
                return Reason.NOT_NUMERIC, f"{name} is {error}"
            told = "" if unit is None else f" with a unit ({unit.name}): {unit_remedy(name, value)}"
            return Reason.NOT_NUMERIC, f"{name} is text{told or ', not a number'}"
        return Reason.NOT_FINITE, f"{name} is {value[:20]!r}"
    return Reason.NOT_NUMERIC, f"{name} is {kind_of(value)}, not a number"
