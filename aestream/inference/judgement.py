"""What a sample shows about one field: the column that it becomes, or why it is no feature."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from aestream.artefact import FieldNote
from aestream.columns import OBJECTS, TEXT, Column, Kind
from aestream.features.schema import Path
from aestream.inference.clocks import epoch_unit
from aestream.inference.counters import RATE, has_rate
from aestream.inference.fields import OF_ONE_KIND, UNIT_NAMES, Field
from aestream.inference.labels import has_commas, is_date_text, turnover
from aestream.inference.movement import Motion, Move, judge
from aestream.inference.order import Order, Series
from aestream.inference.selection import Selection, imputes, matches, written
from aestream.quantities import BASES, unit_of
from aestream.types import Vector

# A missing feature makes a record a dead letter, so nearly every record must have the field.
MIN_PRESENT = 0.99
# The share of records that must have a field whose missing values are imputed: fewer teach too little.
MIN_IMPUTED = 0.1
NEARLY_ALL = 0.95
# Numbers that differ by less than this share of them differ by rounding.
ROUNDING = 1e-12
# With fewer values than this, distinct numbers prove nothing.
MIN_EVIDENCE = 30
# Text is a category when it has at most this many different values, each repeated this often on average.
MAX_CATEGORIES = 32
MIN_REPEATS = 5

_ID_NAME = re.compile(
    r"(^|[._\-\s])(id|uid|uuid|guid|pk|key|seq|sequence|serial|index|idx|offset|number|no|nr|hash)$", re.IGNORECASE
)
_KEY_NAME = re.compile(r"(^|[._\-\s])([iI][dD]|uid|uuid|guid|pk)$|[a-z0-9](Id|ID|Uid|UID)$")
_ID_CAMEL = re.compile(r"[a-z0-9](Id|ID|Uid|UID|Key|Seq|Nr|Number|Index|Offset)$")


class Cause(StrEnum):
    """Why a field is used or left out, in a word."""

    USED = "used"
    STEADY = "steady"
    EXCLUDED = "excluded"
    SELDOM = "seldom"
    MIXED = "mixed"
    OBJECTS = "objects"
    CONSTANT = "constant"
    MOVES = "moves"
    TIMESTAMP = "timestamp"
    NAME = "name"
    UNIT = "unit"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sample shows about one field: the `column` that it becomes, or None if it is not a feature, and why.

    `kind` is what most of its values are. `missing` is the share of records without a value. `remedy` is the option
    that would have it otherwise, empty if there is none. `warning` is what to know about a field that is used.
    """

    name: str
    path: Path
    kind: str
    column: Column | None
    reason: str
    missing: float
    cause: Cause = Cause.USED
    remedy: str = ""
    warning: str = ""

    @property
    def note(self) -> FieldNote:
        """What the manifest says about the field."""
        return FieldNote(self.name, self._use, self.reason, self.missing, self.remedy)

    @property
    def _use(self) -> str:
        if self.column is None:
            return ""
        return "rate" if self.column.rate else "constant" if self.column.steady else str(self.column.kind)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the fields of a sample of `records` records, whose entities and times are in `order`.

    `key`: the fields that tell those entities apart if nobody has named any: until then, no rates can be computed.
    """

    records: int
    order: Order
    selection: Selection
    key: Sequence[str] = ()

    def finding(self, field: Field) -> Finding:
        """What the sample shows about a field."""
        timed = matches(field.name, self.selection.timestamps)
        for cause, told in self._hindrances(field, timed=timed):
            if told:
                return self._left_out(field, cause, told)
        judges = {"numeric": self._number, "text": self._text, "true/false": self._flag}
        if timed or field.kind not in judges:
            return self._time(field) if timed else self._left_out(field, Cause.TIMESTAMP, "a timestamp")
        return judges[field.kind](field)

    def _hindrances(self, field: Field, *, timed: bool) -> Iterator[tuple[Cause, str]]:
        """What may keep a field from being a feature, whatever its kind; nothing where it does not."""
        yield Cause.EXCLUDED, self.selection.ruled_out(field.name)
        yield Cause.OBJECTS, OBJECTS if field.kind == OBJECTS else ""
        dates = not timed and field.kind == "text" and is_date_text(field.of("text")[1])
        yield Cause.TIMESTAMP, "a date or a time as text" if dates else ""
        yield Cause.MIXED, _mixed(field)
        yield Cause.SELDOM, self._seldom(field)

    def twice(self, field: Field) -> Finding:
        """Leave out a field whose name another field has: a key with a dot in it beside a path."""
        return self._left_out(field, Cause.MIXED, "another field has the same name: rename one of them")

    def _used(self, field: Field, column: Column, told: str, warning: str = "") -> Finding:
        cause = Cause.STEADY if column.steady else Cause.USED
        return Finding(
            field.name,
            field.path,
            field.kind,
            column,
            told,
            self._missing(field),
            cause,
            f"`exclude={written(field.name)}`",
            warning,
        )

    def _left_out(self, field: Field, cause: Cause, told: str, instead: str = "") -> Finding:
        """Leave a field out; `instead` is the remedy, where it is not that of the cause."""
        name = written(field.name)
        remedies = {
            Cause.SELDOM: f"`missing={name}=impute`" if field.present >= MIN_IMPUTED * self.records else "",
            Cause.TIMESTAMP: f"`timestamps={name}`",
            Cause.UNIT: f"`units={name}`",
            Cause.OBJECTS: f"`unpack={name}`",
            Cause.MOVES: f"`include=*,{name}`",
            Cause.CONSTANT: f"`include=*,{name}`",
            Cause.NAME: f"`include=*,{name}`" if field.kind == "numeric" or self._few(field) else "",
        }
        missing, remedy = self._missing(field), instead or remedies.get(cause, "")
        return Finding(field.name, field.path, field.kind, None, told, missing, cause, remedy)

    def _missing(self, field: Field) -> float:
        return 1 - field.present / self.records

    def _imputed(self, field: Field) -> bool:
        return imputes(field.name, self.selection.missing)

    def _seldom(self, field: Field) -> str:
        """Say that too many records lack the field; nothing if they do not."""
        impute, there = self._imputed(field), field.kinds[field.kind]
        if field.kind != "null" and there >= (MIN_IMPUTED if impute else MIN_PRESENT) * self.records:
            return ""
        share = percent(self.records - field.present, self.records)
        told = f"{'null or ' if field.kinds['null'] else ''}missing in {share} of the records"
        return f"{told}: too many to impute" if impute else told

    def _number(self, field: Field) -> Finding:
        numbers, forced = field.numbers(self.records), self.selection.forces(field.name)
        values = numbers[~np.isnan(numbers)]
        low, high = float(values.min()), float(values.max())
        written = f" {BASES[field.unit]}" if field.unit else ", in quotes" if field.quoted else ""
        used = Column(quoted=field.quoted, unit=field.unit, imputed=self._imputed(field))
        steady = high - low <= ROUNDING * max(abs(low), abs(high))
        move = Move() if steady else judge(numbers, self.order)
        counts = has_rate(numbers, self.order, move, field.name) and (forced or not _is_identifier(field.name, values))
        if counts and self.selection.rates and not self.key:
            return self._rate(field, used, numbers)
        if steady:
            told = f"always {low:.6g}{written}: any other value is an anomaly"
            return self._used(field, replace(used, steady=True, imputed=True), told)
        told = f"{low:.4g} to {high:.4g}{written}"
        if move.told:
            if not forced:
                cause = Cause.TIMESTAMP if move.motion is Motion.CLOCK else Cause.MOVES
                return self._left_out(field, cause, move.told, self._to_count() if counts else "")
            return self._used(field, used, told, f"{move.told}: records will leave what was learnt")
        if not forced and _is_identifier(field.name, values):
            return self._left_out(field, Cause.NAME, "an identifier: whole numbers, many of them different")
        return self._used(field, used, told, move.warning)

    def _rate(self, field: Field, used: Column, numbers: Vector) -> Finding:
        """Use a counter (n,) by its increase. One that never rose has a constant rate: any increase is an anomaly."""
        if np.any(Series.of(numbers, self.order).steps()):
            return self._used(field, replace(used, rate=True), RATE)
        told = "a counter that never rose: any increase is an anomaly"
        return self._used(field, replace(used, rate=True, steady=True, imputed=True), told)

    def _to_count(self) -> str:
        """The option with which a counter would be used by its rate."""
        return f"`key={','.join(map(written, self.key))}`" if self.selection.rates else "`window=auto`"

    def _quantity(self, field: Field, base: str) -> Finding:
        """Text with a unit: a number if asked for."""
        if matches(field.name, self.selection.units):
            return self._number(field.measured(base))
        texts = field.of("text")[1]
        return self._left_out(
            field, Cause.UNIT, f"numbers with a unit, such as {texts[0]!r}, not read as {BASES[base]}"
        )

    def _flag(self, field: Field) -> Finding:
        flags = Counter(map(bool, field.of("true/false")[1]))
        if len(flags) == 1:
            told = f"always {str(next(iter(flags))).lower()}: any other value is an anomaly"
            return self._used(field, Column(Kind.BOOLEAN, steady=True, imputed=True), told)
        told = f"true in {percent(flags[True], flags.total())}"
        return self._used(field, Column(Kind.BOOLEAN, imputed=self._imputed(field)), told)

    def _time(self, field: Field) -> Finding:
        """Use the field as a timestamp."""
        impute = self._imputed(field)
        if field.kind == "timestamp" or (field.kind == "text" and all(map(is_iso, field.of("text")[1]))):
            told = "time of day and weekday, from ISO 8601"
            return self._used(field, Column(Kind.TIMESTAMP, unit=TEXT, imputed=impute), told)
        numbers = field.numbers(self.records)
        unit = epoch_unit(numbers[~np.isnan(numbers)]) if field.kind == "numeric" else None
        if unit is None:
            told = "neither ISO 8601 text nor a number of seconds, ms, us or ns since 1970"
            return self._left_out(field, Cause.MIXED, told)
        told = f"time of day and weekday, from {unit} since 1970"
        return self._used(field, Column(Kind.TIMESTAMP, unit=UNIT_NAMES[unit], imputed=impute), told)

    def _few(self, field: Field) -> bool:
        return len(set(field.of("text")[1])) <= MAX_CATEGORIES

    def _text(self, field: Field) -> Finding:
        """Use the field as a category, if its values repeat and do not come and go."""
        rows, values = field.of("text")
        texts, forced = Counter(values), self.selection.forces(field.name)
        units = [unit for unit in map(unit_of, texts) if unit is not None]
        if len(units) >= OF_ONE_KIND * len(texts):
            return self._quantity(field, units[0].base)
        if len(texts) > MAX_CATEGORIES and has_commas(values):
            told = f"numbers with commas, such as {values[0]!r}: write them with a point"
            return self._left_out(field, Cause.MIXED, told)
        if len(texts) == 1 and not forced:
            return self._left_out(field, Cause.CONSTANT, f"constant: always {values[0]!r}")
        named = _names(field.name, texts, forced=forced)
        turned = "" if named else turnover(values, rows, self.records)
        if named or (turned and not forced):
            return self._left_out(field, Cause.NAME, named or turned)
        first, often = texts.most_common(1)[0]
        told = f"{len(texts)} different values, the most frequent {first!r} ({percent(often, len(values))})"
        column = Column(Kind.CATEGORICAL, tuple(sorted(texts)), imputed=self._imputed(field))
        return self._used(field, column, told, turned)


def percent(count: float, of: float) -> str:
    """Return a share as a percentage for people to read."""
    return f"{100 * count / of:.3g} %"


def is_iso(text: str) -> bool:
    """Whether a text is a moment that a timestamp column can read."""
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _mixed(field: Field) -> str:
    """Say which other values keep a field from being of one kind; nothing if they are few."""
    kind, present = field.kind, field.present
    if field.kinds[kind] >= OF_ONE_KIND * present and kind in {"numeric", "text", "true/false", "timestamp", "null"}:
        return ""
    strangers = {name: count for name, count in field.kinds.items() if name not in {kind, "null"}}
    if kind not in {"numeric", "text", "true/false", "timestamp"}:
        return f"not numeric: {kind}"
    most = max(strangers, key=strangers.__getitem__)
    return f"not {kind}: {most} in {percent(strangers[most], present)} of the records"


def _names(name: str, texts: Counter[str], *, forced: bool) -> str:
    """Say that texts are too many to be categories; nothing if they are not."""
    count, distinct = texts.total(), len(texts)
    if distinct <= MAX_CATEGORIES and (count >= MIN_REPEATS * distinct or forced):
        return ""
    if distinct >= NEARLY_ALL * count and (_ID_NAME.search(name) or _ID_CAMEL.search(name)):
        return "an identifier: text, nearly all different"
    return f"free text or names: {distinct} different values in {count} records"


def _is_identifier(name: str, values: Vector) -> bool:
    """Whether whole numbers are called an identifier, and are more than codes, or nearly all different."""
    if len(values) < MIN_EVIDENCE or not np.all(values == np.floor(values)):
        return False
    distinct = len(np.unique(values))
    if _KEY_NAME.search(name) and distinct > MAX_CATEGORIES:
        return True
    called = _ID_NAME.search(name) or _ID_CAMEL.search(name)
    return bool(called) and distinct >= NEARLY_ALL * len(values)
