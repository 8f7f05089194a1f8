"""Which fields of a record are features, and of which kind, inferred from a sample."""

import datetime
import fnmatch
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aestream.columns import POLICIES, TEXT, Column, Kind, describe, is_missing, is_number
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema, LeftOut, Path
from aestream.types import Vector

# A missing feature makes a record a dead letter, so nearly every record must have the field.
MIN_PRESENT = 0.99
# The share of records that must have a field whose missing values are imputed: fewer teach too little.
MIN_IMPUTED = 0.1
# With fewer values than this, rising or distinct numbers prove nothing.
MIN_EVIDENCE = 30
MIN_RISES = 10
NEARLY_ALL = 0.95
# Text is a category when it has at most this many different values, each repeated this often on average.
MAX_CATEGORIES = 32
MIN_REPEATS = 5
# 2001 to 2100 in seconds since 1970; in ms, us and ns, a power of 1000 more.
EPOCH_RANGE = (0.98e9, 4.1e9)

_ID_NAME = re.compile(
    r"(^|[._\-\s])(id|uid|uuid|guid|pk|key|seq|sequence|serial|index|idx|offset|number|no|nr|hash|counter)$",
    re.IGNORECASE,
)
_ID_CAMEL = re.compile(r"[a-z0-9](Id|ID|Uid|UID|Key|Seq|Nr|Number|Index|Offset)$")
_GLOB = re.compile(r"[*?\[]")
_TIME_NAME = re.compile(
    r"(^|[._\-\s])(ts|time|timestamp|date|datetime|epoch)([._\-\s]|$)|[a-z](Time|Timestamp|At)$|_at$"
)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNIT_NAMES = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sample shows about one field: the `column` that it becomes, or None if it is not a feature, and why.

    `missing` is the share of records without a value.
    """

    name: str
    path: Path
    column: Column | None
    reason: str
    missing: float


def infer_schema(
    records: Sequence[Mapping[str, Any]],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    timestamps: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> tuple[FeatureSchema, list[LeftOut]]:
    """Choose the features from a sample of decoded records in time order, as `inspect` judges them.

    Returns the schema, with its columns in the order of the sample, and what was left out and why. Raises DataError
    when nothing is left, two features have one name, or a field given by name cannot be a feature.
    """
    findings = inspect(records, include=include, exclude=exclude, timestamps=timestamps, missing=missing)
    left_out = [LeftOut(found.name, found.reason) for found in findings if found.column is None]
    chosen = [(found.name, found.path, found.column) for found in findings if found.column is not None]
    if not chosen:
        told = "; ".join(f"{item.name}: {item.reason}" for item in left_out[:10]) or "no fields at all"
        raise DataError(f"no field of the {len(records)} records can be a feature ({told}): name some in `include`")
    names, paths, columns = zip(*chosen, strict=True)
    return FeatureSchema(names, paths, columns), left_out


def inspect(
    records: Sequence[Mapping[str, Any]],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    timestamps: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> list[Finding]:
    """Judge every field of decoded records, in time order.

    Numbers, booleans and texts with few different values are features if nearly every record has them, or if `missing`
    (see `imputes`) lets the others be imputed. Constants, identifiers, free text, timestamps and counters that only
    rise are not, nor is what `include` and `exclude` (glob patterns on dotted names) rule out. An exact name in
    `include` forces a field in. Of `timestamps` (names or patterns) the time of day and the weekday are used.

    Raises DataError when there are no records, or when a field given by name is absent or cannot be a feature.
    """
    if not records:
        raise DataError("the sample has no records: there is nothing to infer features from")
    fields: dict[Path, _Field] = {}
    for record in records:
        for path, value in _leaves(record):
            fields.setdefault(path, _Field()).add(value)
    names = {".".join(path) for path in fields}
    forced = {name for name in include if not _GLOB.search(name)}
    absent = (forced | {name for name in timestamps if not _GLOB.search(name)}) - names
    if absent:
        raise DataError(
            f"the field {min(absent)!r} is named in `include` or `timestamps`, but no record of the sample has it"
        )

    findings = []
    for path, seen in fields.items():
        name = ".".join(path)
        timed = _matches(name, timestamps)
        impute = imputes(name, missing)
        reason = _ruled_out(name, [] if timed else include, exclude)
        column: Column | None = None
        if not reason:
            column, reason = seen.judge(name, len(records), timed=timed, impute=impute, forced=name in forced)
        if column is None and name in {*forced, *timestamps}:
            raise DataError(f"the field {name!r} is named in `include` or `timestamps`, but cannot be used: {reason}")
        findings.append(Finding(name, path, column, reason, 1 - seen.present / len(records)))
    return findings


def imputes(name: str, missing: Sequence[str]) -> bool:
    """Whether missing values of a feature are imputed.

    The items of `missing` are `POLICY`, for all features, or `NAME=POLICY`; the last one that matches wins.
    """
    policy = POLICIES[0]
    for item in missing:
        pattern, _, wanted = item.rpartition("=")
        if not pattern or _matches(name, [pattern]):
            policy = wanted
    return policy == "impute"


@dataclass(slots=True)
class _Field:
    """What the sample holds under one path."""

    numbers: list[float] = field(default_factory=list)
    texts: Counter[str] = field(default_factory=Counter)
    flags: Counter[bool] = field(default_factory=Counter)
    moments: int = 0  # timestamps that are not text, as from a CSV file
    others: Counter[str] = field(default_factory=Counter)
    nulls: int = 0

    def add(self, value: object) -> None:
        if is_number(value):
            self.numbers.append(float(value))  # type: ignore[arg-type]
        elif isinstance(value, str):
            self.texts[value] += 1
        elif isinstance(value, bool | np.bool_):
            self.flags[bool(value)] += 1
        elif is_missing(value):
            self.nulls += 1
        elif isinstance(value, datetime.datetime):
            self.moments += 1
        else:
            self.others[describe(value)] += 1

    @property
    def present(self) -> int:
        return len(self.numbers) + self.moments + self.texts.total() + self.flags.total() + self.others.total()

    def judge(self, name: str, records: int, *, timed: bool, impute: bool, forced: bool) -> tuple[Column | None, str]:
        """The column that the field becomes, or None, and why."""
        kinds = {
            "numeric": len(self.numbers),
            "text": self.texts.total(),
            "true/false": self.flags.total(),
            "timestamp": self.moments,
        }
        kind = max(kinds, key=kinds.__getitem__)
        reason = self._mixed(kinds, kind, records) or self._seldom(kinds[kind], records, impute=impute)
        if reason:
            return None, reason
        if timed:
            return self._time(impute=impute)
        judges = {"numeric": self._number, "text": self._text, "true/false": self._flag}
        return judges[kind](name, impute=impute, forced=forced) if kind in judges else (None, "a timestamp")

    def _mixed(self, kinds: Mapping[str, int], kind: str, records: int) -> str:
        """Say which other values keep the field from being of one kind; nothing if they are few."""
        if kinds[kind] >= MIN_PRESENT * self.present:
            return ""
        strangers = {**kinds, **self.others, kind: 0}
        most = max(strangers, key=strangers.__getitem__)
        share = "" if strangers[most] == self.present else f" in {percent(strangers[most], records)} of the records"
        return f"not {kind}: {most}{share}"

    def _seldom(self, count: int, records: int, *, impute: bool) -> str:
        """Say that too many records lack the field; nothing if they do not."""
        if count >= (MIN_IMPUTED if impute else MIN_PRESENT) * records:
            return ""
        told = f"{'null or ' if self.nulls else ''}missing in {percent(records - self.present, records)} of the records"
        return f"{told}: too many to impute" if impute else told

    def _number(self, name: str, *, impute: bool, forced: bool) -> tuple[Column | None, str]:
        values = np.array(self.numbers)
        reason = None if forced else _not_telling(name, values)
        told = f"{values.min():.4g} to {values.max():.4g}"
        return (None, reason) if reason else (Column(imputed=impute), told)

    def _flag(self, _name: str, *, impute: bool, forced: bool) -> tuple[Column | None, str]:
        if len(self.flags) == 1 and not forced:
            return None, f"constant: always {str(next(iter(self.flags))).lower()}"
        return Column(Kind.BOOLEAN, imputed=impute), f"true in {percent(self.flags[True], self.flags.total())}"

    def _time(self, *, impute: bool) -> tuple[Column | None, str]:
        """Use the field as a timestamp."""
        if self.moments or (self.texts and all(map(_is_iso, self.texts))):
            return Column(Kind.TIMESTAMP, unit=TEXT, imputed=impute), "time of day and weekday, from ISO 8601"
        unit = _unit_of_epoch(np.array(self.numbers)) if self.numbers else None
        if unit is None:
            return None, "neither ISO 8601 text nor a number of seconds, ms, us or ns since 1970"
        column = Column(Kind.TIMESTAMP, unit=_UNIT_NAMES[unit], imputed=impute)
        return column, f"time of day and weekday, from {unit} since 1970"

    def _text(self, name: str, *, impute: bool, forced: bool) -> tuple[Column | None, str]:
        """Use the field as a category, if its values repeat."""
        count, distinct = self.texts.total(), len(self.texts)
        if all(map(_is_iso, self.texts)):
            return None, "a timestamp: ISO 8601 text"
        if distinct == 1 and not forced:
            return None, f"constant: always {next(iter(self.texts))!r}"
        if distinct > MAX_CATEGORIES or (count < MIN_REPEATS * distinct and not forced):
            if all(map(_is_numeric_text, self.texts)):
                return None, "numbers in quotes: send them as numbers"
            if distinct >= NEARLY_ALL * count and (_ID_NAME.search(name) or _ID_CAMEL.search(name)):
                return None, "an identifier: text, nearly all different"
            return None, f"free text or names: {distinct} different values in {count} records"
        first, often = self.texts.most_common(1)[0]
        told = f"{distinct} different values, the most frequent {first!r} ({percent(often, count)})"
        return Column(Kind.CATEGORICAL, tuple(sorted(self.texts)), imputed=impute), told


def _ruled_out(name: str, include: Sequence[str], exclude: Sequence[str]) -> str:
    if _matches(name, exclude):
        return "excluded by name"
    if include and not _matches(name, include):
        return "not among the fields to include"
    return ""


def _not_telling(name: str, values: Vector) -> str | None:
    """Say why a numeric field cannot tell normal from abnormal; None if it may."""
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
        return "always rising: a counter or a clock"
    distinct = len(np.unique(values)) / len(values)
    if whole and distinct >= NEARLY_ALL and (_ID_NAME.search(name) or _ID_CAMEL.search(name)):
        return "an identifier: whole numbers, nearly all different"
    return None


def _unit_of_epoch(values: Vector) -> str | None:
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


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_iso(text: str) -> bool:
    if not _ISO_DATE.match(text):
        return False
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_numeric_text(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def percent(count: float, of: float) -> str:
    """Return a share as a percentage for people to read."""
    return f"{100 * count / of:.3g} %"
