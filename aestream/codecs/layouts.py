"""How a message's document becomes records: an array to unpack, the form of the records, and a filter."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aestream.codecs.envelopes import ENVELOPES, PLAIN, TIMES, Found, foreign, known_as
from aestream.codecs.opentelemetry import opentelemetry
from aestream.codecs.parsing import Refused
from aestream.codecs.problems import Path, kind_of
from aestream.types import PassedOver, Reason

ANY = "*"
WHOLE = -1  # the element of a record that is its whole message
# The keys of an object that is one value of a record, and what may stand beside them.
_NAMES = ("name", "metric", "key", "field", "label")
_VALUES = ("value", "v", "val")
_MOST_COPIES = 1_000_000  # of the fields beside the records of one message
_ASIDE = {"unit", "units", "type", "timestamp", "time", "ts", "description"}


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one message, each with its place in it, or what is wrong with one; and those passed over."""

    found: Sequence[tuple[int, Any]]
    passed: Mapping[PassedOver, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Finds the records in a message's document.

    `unpack` is the path of an array of records, with dots, or `.` where the document is that array; the other fields
    stand beside each record. `name` is the form of what is found, one of ENVELOPES. Only records whose fields have the
    values in `where` count; `*` is any value but null.
    """

    name: str = PLAIN
    unpack: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether every message is one record as it is."""
        return self == Layout()

    @property
    def time(self) -> str | None:
        """The field that holds the time in every record of this layout; None if there is none."""
        return TIMES.get(self.name)

    def records(self, document: object, needed: Collection[str] | None = None) -> Records:
        """Find the records in a document. Raises Refused where there can be none.

        What all records of a message share is copied into each of them: only the fields that are `needed`, for one
        message may have tens of thousands of fields and of records. None: all of them.
        """
        if self.unpack is None and isinstance(document, list):
            counted = "1 record" if len(document) == 1 else f"{len(document)} records"
            raise Refused(Reason.WRONG_SHAPE, f"an array of {counted}: set `unpack`=.")
        if self.name == PLAIN and self.unpack is None and not self.where:
            return Records([(WHOLE, document)])
        beside = needed if self.name == PLAIN else None
        unpacked: Any = document if self.unpack is None else _unpacked(document, self.unpack, beside)
        opened = [self._opened(one, needed) for one in _listed(unpacked)]
        items = list(itertools.chain.from_iterable(map(_listed, opened)))
        several = isinstance(unpacked, list) or any(isinstance(one, list) for one in opened)
        passed = Counter([] if items else [PassedOver.NO_RECORDS])
        found: list[tuple[int, Any]] = []
        for place, item in enumerate(items):
            if isinstance(item, PassedOver):
                passed[item] += 1
            elif isinstance(item, dict) and not self._wanted(item):
                passed[PassedOver.FILTERED] += 1
            else:
                found.append((place if several else WHOLE, item))
        return Records(found, passed)

    def _opened(self, document: object, needed: Collection[str] | None) -> Found:
        if self.name == "opentelemetry":
            return opentelemetry(document, needed)
        return ENVELOPES[self.name](document)

    def hint(self, record: object) -> str | None:
        """What a record of another layout is, and which setting would read it; None for one that fits."""
        other = foreign(record) if self.name == PLAIN else None
        return None if other is None else f"{known_as(other)}: set `layout`={other}"

    def tombstone(self) -> Records:
        """What becomes of a message without a value. Raises Refused where that is no tombstone."""
        if self.name == "debezium":
            return Records((), {PassedOver.TOMBSTONE: 1})
        raise Refused(Reason.EMPTY, "the value is empty")

    def _wanted(self, record: dict[str, Any]) -> bool:
        return all(_is(value_of(record, name), wanted) for name, wanted in self.where.items())


def value_of(record: Found, name: str) -> object:
    """The value of a field by its dotted name: the first that is not null of those at `paths_of`; None without any."""
    if not isinstance(record, dict):
        return None
    value = record.get(name)
    if value is not None or "." not in name:
        return value
    found = (value_of(record.get(first), rest) for first, rest in _split(name))
    return next((value for value in found if value is not None), None)


def paths_of(name: str) -> Iterator[Path]:
    """The paths that a dotted name may mean, as the names on a path may have dots too: 2**n for a name with n dots."""
    yield (name,)
    for first, rest in _split(name):
        yield from ((first, *path) for path in paths_of(rest))


def heads_of(name: str) -> set[str]:
    """The fields of a record in which `value_of` may find a dotted name."""
    return {name, *(first for first, _ in _split(name))}


def _split(name: str) -> Iterator[tuple[str, str]]:
    """A dotted name in two, at each of its dots."""
    parts = name.split(".")
    return ((".".join(parts[:i]), ".".join(parts[i:])) for i in range(1, len(parts)))


def _is(value: object, wanted: str) -> bool:
    """Whether a value is what somebody writes as `wanted`."""
    if wanted == ANY:
        return value is not None
    if isinstance(value, bool) or value is None:
        return wanted.lower() == {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        try:
            return math.isclose(value, float(wanted))
        except ValueError:
            return False
    return value == wanted


def _unpacked(document: object, path: str, needed: Collection[str] | None) -> dict[str, Any] | list[Any]:
    """The records of the array at a path, with the other fields beside each; or one, if they are named values."""
    array, others = (document, {}) if path == "." else _taken(document, path, path)
    if array is None:
        return []
    if not isinstance(array, list):
        raise Refused(Reason.WRONG_SHAPE, f"{_at(path)} is {kind_of(array)}, not an array: change `unpack`={path}")
    values = _named_values(array, path)
    if values is not None:
        return {**others, **values}
    if needed is not None:
        others = {name: value for name, value in others.items() if name in needed}
    if len(others) * len(array) > _MOST_COPIES:
        told = f"{len(array)} records with {len(others)} fields beside each, more than {_MOST_COPIES} fields in all"
        raise Refused(Reason.TOO_LARGE, told)
    return [{**others, **item} if isinstance(item, dict) else item for item in array]


def _taken(document: object, path: str, whole: str) -> tuple[Any, dict[str, Any]]:
    """What stands at a path, and the document without it."""
    first, _, rest = path.partition(".")
    key = path if isinstance(document, dict) and path in document else first
    if not isinstance(document, dict) or key not in document:
        raise Refused(Reason.WRONG_SHAPE, f"{whole} is missing, where `unpack`={whole} expects an array")
    others = {name: value for name, value in document.items() if name != key}
    if key == path:
        return document[key], others
    array, inner = _taken(document[key], rest, whole)
    return array, {**others, key: inner} if inner else others


def _named_values(array: Sequence[object], path: str) -> dict[str, Any] | None:
    """The fields of an array of {name, value} objects; None for any other array."""
    values: dict[str, Any] = {}
    for item in array:
        if not isinstance(item, dict):
            return None
        name = next((key for key in _NAMES if isinstance(item.get(key), str)), None)
        value = next((key for key in _VALUES if key in item), None)
        if name is None or value is None or item.keys() - {name, value} - _ASIDE:
            return None
        if item[name] in values:
            raise Refused(Reason.WRONG_SHAPE, f"{_at(path)} has two values called {item[name][:50]!r}")
        values[item[name]] = item[value]
    return values or None


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _at(path: str) -> str:
    return "the message" if path == "." else path
