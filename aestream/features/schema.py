"""Which fields of a record are features: names, paths, and how a sample tells."""

import fnmatch
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from aestream.errors import DataError, ModelError

Path: TypeAlias = tuple[str, ...]
Matrix: TypeAlias = npt.NDArray[np.float64]

# A feature that is missing makes a record a dead letter, so a field must be there nearly always.
MIN_PRESENT = 0.99
# Below so many values, rising or distinct numbers prove nothing.
MIN_EVIDENCE = 30
MIN_RISES = 10
NEARLY_ALL = 0.95
# 2001 to 2100 in seconds; the same in ms, us and ns is a power of 1000 more.
EPOCH_RANGE = (0.98e9, 4.1e9)

_ID_NAME = re.compile(
    r"(^|[._\-\s])(id|uid|uuid|guid|pk|key|seq|sequence|serial|index|idx|offset|number|no|nr|hash|counter)$",
    re.IGNORECASE,
)
_ID_CAMEL = re.compile(r"[a-z0-9](Id|ID|Uid|UID|Key|Seq|Nr|Number|Index|Offset)$")
_GLOB = re.compile(r"[*?\[]")
_MISSING = object()
_TIME_NAME = re.compile(
    r"(^|[._\-\s])(ts|time|timestamp|date|datetime|epoch)([._\-\s]|$)|[a-z](Time|Timestamp|At)$|_at$"
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A field of the sample that is not a feature, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The features in the order of the matrix's columns.

    `names` are for people (`cpu.user`), `paths` are the JSON keys that lead to the value (`("cpu", "user")`).
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        """Refuse a schema that could not tell two columns apart."""
        if not self.names or len(self.names) != len(self.paths):
            raise ValueError("a feature schema needs one path for each name, and at least one")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"two features are called {twice!r}: rename one field or exclude it")

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Self:
        """Make the schema of flat records: each name is its own key."""
        return cls(tuple(names), tuple((name,) for name in names))

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.names)

    @property
    def hash(self) -> str:
        """sha256 (hex) of the canonical JSON: equal for equal features in equal order."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, as JSON types."""
        return {"names": list(self.names), "paths": [list(path) for path in self.paths]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ModelError: when it is something else.

        """
        try:
            names = tuple(str(name) for name in data["names"])
            paths = tuple(tuple(str(key) for key in path) for path in data["paths"])
            return cls(names, paths)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's feature schema cannot be read ({error}): train the model again") from error

    def matrix(self, records: Sequence[Mapping[str, Any]]) -> Matrix:
        """Read the features of decoded records -> (n, d).

        Raises:
            DataError: when a record lacks a feature or it is not a finite number; names the first such record.

        """
        out = np.empty((len(records), len(self.paths)))
        for column, path in enumerate(self.paths):
            values: list[Any] = [_lookup(record, path) for record in records]
            bad = next((row for row, value in enumerate(values) if not _is_number(value)), None)
            if bad is not None:
                message = (
                    f"record {bad}: feature {self.names[column]!r} is {_describe(values[bad])}, not a finite number: "
                    "drop the record or exclude the feature"
                )
                raise DataError(message)
            out[:, column] = values
        return out


def infer_schema(
    records: Sequence[Mapping[str, Any]], *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[FeatureSchema, list[LeftOut]]:
    """Choose the features from a sample of decoded records, in time order.

    Features are the numbers (not booleans) that nearly every record has. Constants, identifiers, timestamps and
    ever-rising counters are left out, as are the fields that `include` and `exclude` (glob patterns on dotted
    names) rule out. An exact name in `include` forces a numeric field in.

    Returns:
        The schema, columns in the order in which the sample shows them, and what was left out and why.

    Raises:
        DataError: when nothing is left, two features look alike, or a field forced in is not a number.

    """
    if not records:
        raise DataError("the sample holds no records: there is nothing to infer features from")
    fields: dict[Path, _Field] = {}
    for record in records:
        for path, value in _leaves(record):
            fields.setdefault(path, _Field()).add(value)

    forced = {name for name in include if not _GLOB.search(name)}
    absent = forced - {".".join(path) for path in fields}
    if absent:
        raise DataError(f"the field {min(absent)!r} is to be included, but no record of the sample has it")

    chosen: list[Path] = []
    left_out: list[LeftOut] = []
    for path, seen in fields.items():
        name = ".".join(path)
        reason = _ruled_out(name, include, exclude) or seen.not_numeric(len(records))
        if reason and name in forced:
            raise DataError(f"the field {name!r} is to be included, but cannot be: {reason}")
        if not reason and name not in forced:
            reason = _not_telling(name, np.array(seen.values))
        if reason:
            left_out.append(LeftOut(name, reason))
        else:
            chosen.append(path)

    if not chosen:
        found = "; ".join(f"{item.name}: {item.reason}" for item in left_out[:10]) or "no fields at all"
        raise DataError(f"no field of the {len(records)} records can be a feature ({found}): name some to include")
    return FeatureSchema(tuple(".".join(path) for path in chosen), tuple(chosen)), left_out


@dataclass(slots=True)
class _Field:
    """What the sample holds under one path."""

    values: list[float] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    def add(self, value: object) -> None:
        if _is_number(value):
            self.values.append(float(value))  # type: ignore[arg-type]
        else:
            kind = _describe(value)
            self.others[kind] = self.others.get(kind, 0) + 1

    def not_numeric(self, records: int) -> str | None:
        """Say why the field cannot be read as a number from nearly every record; None if it can."""
        if len(self.values) >= MIN_PRESENT * records:
            return None
        nulls = self.others.get("null", 0)
        strangers = {kind: count for kind, count in self.others.items() if kind != "null"}
        if strangers:
            kind = max(strangers, key=strangers.__getitem__)
            share = "" if not self.values else f" in {_percent(strangers[kind], records)} of the records"
            return f"not numeric: {kind}{share}"
        missing = records - len(self.values)
        return f"{'null or ' if nulls else ''}missing in {_percent(missing, records)} of the records"


def _ruled_out(name: str, include: Sequence[str], exclude: Sequence[str]) -> str | None:
    if _matches(name, exclude):
        return "excluded by name"
    if include and not _matches(name, include):
        return "not among the fields to include"
    return None


def _not_telling(name: str, values: Matrix) -> str | None:
    """Say why a numeric field carries nothing about normal and abnormal; None if it may."""
    if np.all(values == values[0]):
        return f"constant: always {values[0]:.6g}"
    if len(values) < MIN_EVIDENCE:
        return None
    whole = bool(np.all(values == np.floor(values)))
    steps = np.diff(values)
    rising = float(np.mean(steps > 0))
    if _unit_of_epoch(values) and (rising > NEARLY_ALL or _TIME_NAME.search(name)):
        return f"a timestamp: {_unit_of_epoch(values)} since 1970"
    if not np.any(steps < 0) and (np.count_nonzero(steps) >= MIN_RISES if whole else rising == 1.0):
        return "ever rising: a counter or a clock"
    distinct = len(np.unique(values)) / len(values)
    if whole and distinct >= NEARLY_ALL and (_ID_NAME.search(name) or _ID_CAMEL.search(name)):
        return "an identifier: whole numbers, nearly all different"
    return None


def _unit_of_epoch(values: Matrix) -> str | None:
    low, high = float(values.min()), float(values.max())
    for unit, scale in (("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
        if EPOCH_RANGE[0] * scale <= low and high <= EPOCH_RANGE[1] * scale:
            return unit
    return None


def _leaves(record: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in record.items():
        path = (*prefix, str(key))
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, value


def _lookup(record: Mapping[str, Any], path: Path) -> object:
    value: Any = record
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_number(value: object) -> bool:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond 1.8e308
        return False


def _describe(value: object) -> str:
    if value is _MISSING:
        return "missing"
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "null"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "text"),
        ((bool, np.bool_), "true/false"),
        ((list, tuple), "a list"),
        ((int, float, np.integer, np.floating), "a number too large"),
        (Mapping, "an object"),
    )
    return next((kind for types, kind in kinds if isinstance(value, types)), type(value).__name__)


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of:.3g} %"
