"""Records that are JSON: from Kafka's values to columns, by the fast way where they are ordinary."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np

from aestream.codecs.base import Decoded
from aestream.codecs.flat import FlatRows
from aestream.codecs.layouts import WHOLE, Layout, Records, heads_of, value_of
from aestream.codecs.parsing import Refused, parse, unframed
from aestream.codecs.problems import Path, Problem, kind_of
from aestream.codecs.reading import read
from aestream.codecs.typed import TypedRows
from aestream.columns import Column
from aestream.features.schema import FeatureSchema
from aestream.types import Invalid, PassedOver, Reason, Scalar

_NAMED = 3  # bad records of one message that its dead letter names
_AT_ONCE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class JsonCodec:
    """Records that are JSON objects, found in each message by `layout`.

    A value of more than `max_record_bytes` is invalid.
    """

    max_record_bytes: int
    layout: Layout = field(default_factory=Layout)
    record = "a JSON object"

    def documents(self, values: Sequence[bytes | None]) -> list[Sequence[Mapping[str, Any]]]:
        """The JSON objects in each value, complete; none where there are none."""
        return list(map(self._objects, unframed(values)))

    def refusal(self, value: bytes | None) -> str | None:
        """Why no record of a value can be read; None if one can, or if all are passed over."""
        try:
            records = self._records(value).found
        except Refused as problem:
            return problem.message
        problems = [self._problem(record) for _, record in records]
        return problems[0][1] if problems and problems[0] and all(problems) else None

    def decoder(self, schema: FeatureSchema, asides: Sequence[str] = ()) -> JsonDecoder:
        """Make the decoder for a schema that also reads the fields called `asides`."""
        return JsonDecoder(
            schema.paths, schema.columns, asides, max_record_bytes=self.max_record_bytes, layout=self.layout
        )

    def _objects(self, value: bytes | None) -> Sequence[Mapping[str, Any]]:
        try:
            records = self._records(value).found
        except Refused:
            return ()
        return [record for _, record in records if self._problem(record) is None]

    def _records(self, value: bytes | None) -> Records:
        return _records(value, self.layout, self.max_record_bytes)

    def _problem(self, record: object) -> Problem | None:
        """Why nothing can be learnt from a record."""
        hint = self.layout.hint(record)
        return (Reason.WRONG_SHAPE, hint) if hint else _no_object(record)


class JsonDecoder:
    """Decodes JSON into the columns at `paths`, and reads the fields called `asides`.

    Without `columns`, all are numbers that must be present.

    Values that are what the columns expect are read in C, whole batches at once. The others are read one by one, and
    then by columns: those of any layout but the plain one, numbers in text, NaN, odd names.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        columns: Sequence[Column] = (),
        asides: Sequence[str] = (),
        *,
        max_record_bytes: int,
        layout: Layout | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._columns = tuple(columns) or (Column(),) * len(self._paths)
        self._max_bytes = max_record_bytes
        self._layout = layout or Layout()
        self._may_lack_all = all(column.imputed for column in self._columns)
        self._asides = tuple(asides)
        named = itertools.chain(self._asides, self._layout.where)
        self._needed = {path[0] for path in self._paths}.union(*map(heads_of, named))
        self._fast = self._readers() if self._layout.plain else ()

    def decode(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None] = (), timestamps: Sequence[int] = ()
    ) -> Decoded:
        """Decode a batch of JSON values.

        Returns the float64 matrix (m, d) of the valid records. A value is invalid when it is empty, longer than
        `max_record_bytes`, not JSON, has no record, or when a feature of a record is missing, of another kind or not
        finite.
        """
        decoded = self._decoded(unframed(values))
        if self._may_lack_all:
            lacking = np.flatnonzero(np.isnan(decoded.matrix).all(axis=1)).tolist()
            told = "it has none of the model's features"
            rows = decoded.rows.tolist()
            decoded = decoded.without({at: Invalid(rows[at], Reason.MISSING_FEATURE, told) for at in lacking})
        return decoded.stamped(keys, timestamps)

    def _readers(self) -> Sequence[FlatRows | TypedRows]:
        """What reads whole batches in C: the fastest first, each for what those before it have left."""
        found = TypedRows.of(self._paths, self._columns, self._asides, max_record_bytes=self._max_bytes)
        if found is None:
            return ()
        flat = FlatRows.of(self._paths, self._columns, self._asides, max_record_bytes=self._max_bytes)
        return (found,) if flat is None else (flat, found)

    def _decoded(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode in C what can be, and the rest one by one."""
        rows: Sequence[int] = range(len(values))
        parts = []
        for reader in self._fast:
            part, rows = reader.read(values, rows)
            parts.append(part)
            if not rows:
                break
        if rows or not parts:
            parts.append(self._others(values, rows))
        return functools.reduce(_joined, parts)

    def _others(self, values: Sequence[bytes | None], rows: Sequence[int]) -> Decoded:
        """Decode the values of some rows one by one, a few at a time: as records they may need 200 times the memory."""
        return _appended([self._some(values, part) for part in _parts(values, rows)])

    def _some(self, values: Sequence[bytes | None], rows: Sequence[int]) -> Decoded:
        found: list[dict[str, Any]] = []
        places: list[tuple[int, int]] = []  # of each record: its row, and its element
        problems: list[tuple[int, int, Problem]] = []
        passed: Counter[PassedOver] = Counter()
        for row in rows:
            try:
                records = _records(values[row], self._layout, self._max_bytes, self._needed)
            except Refused as problem:
                problems.append((row, WHOLE, (problem.reason, problem.message)))
                continue
            passed.update(records.passed)
            for element, record in records.found:
                if (wrong := _no_object(record)) is None:
                    found.append(record)
                    places.append((row, element))
                else:
                    problems.append((row, element, wrong))
        matrix, unreadable = read(found, self._paths, self._columns)
        problems += [(*places[i], self._hinted(found[i], problem)) for i, problem in unreadable.items()]
        good = np.ones(len(found), bool)
        good[list(unreadable)] = False
        of_row, element_of = np.asarray(places, np.intp).reshape(-1, 2)[good].T
        usable = list(itertools.compress(found, good.tolist()))
        asides = {name: _scalars(map(value_of, usable, itertools.repeat(name))) for name in self._asides}
        invalid = list(_invalid(problems))
        return Decoded(matrix[good], of_row, invalid, elements=element_of, passed=passed, asides=asides)

    def _hinted(self, record: object, problem: Problem) -> Problem:
        """What is wrong with a record; that it is of another layout, if it lacks features for that."""
        hint = self._layout.hint(record) if problem[0] is Reason.MISSING_FEATURE else None
        return (Reason.WRONG_SHAPE, hint) if hint else problem


def _records(value: bytes | None, layout: Layout, max_bytes: int, needed: Collection[str] | None = None) -> Records:
    """The records in a value, with the fields that are `needed`. Raises Refused where there can be none."""
    return layout.tombstone() if value is None else layout.records(parse(value, max_bytes), needed)


def _scalars(values: Iterable[object]) -> list[Scalar]:
    """Text, finite numbers and booleans as they are, and None for anything else."""
    return [
        value if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)) else None
        for value in values
    ]


def _parts(values: Sequence[bytes | None], rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut rows where their values have so many bytes."""
    start = size = 0
    for at, row in enumerate(rows):
        size += len(values[row] or b"")
        if size > _AT_ONCE_BYTES:
            yield rows[start : at + 1]
            start, size = at + 1, 0
    yield rows[start:]


def _appended(parts: Sequence[Decoded]) -> Decoded:
    """The records of values that follow each other."""
    elements = np.concatenate([part.elements for part in parts])
    return Decoded(
        np.concatenate([part.matrix for part in parts]),
        np.concatenate([part.rows for part in parts]),
        [problem for part in parts for problem in part.invalid],
        elements=elements if (elements != WHOLE).any() else np.empty(0, np.intp),
        passed=sum((Counter(part.passed) for part in parts), Counter[PassedOver]()),
        asides={name: [value for part in parts for value in part.asides[name]] for name in parts[0].asides},
    )


def _joined(first: Decoded, second: Decoded) -> Decoded:
    """Add valid records to those of other messages, in order; all are whole messages."""
    rows = np.concatenate([first.rows, second.rows])
    order = np.argsort(rows)
    return replace(
        second,
        matrix=np.concatenate([first.matrix, second.matrix])[order],
        rows=rows[order],
        asides={
            name: list(map([*values, *second.asides[name]].__getitem__, order.tolist()))
            for name, values in first.asides.items()
        },
    )


def _no_object(record: object) -> Problem | None:
    """What is wrong with a record that is not a JSON object."""
    if isinstance(record, dict):
        return None
    if isinstance(record, Refused):
        return record.reason, record.message
    twice = isinstance(record, str) and record.lstrip().startswith("{")
    kind = "text that holds JSON: the producer encodes it twice" if twice else kind_of(record)
    return Reason.WRONG_SHAPE, f"{JsonCodec.record} is expected, not {kind}"


def _invalid(problems: Sequence[tuple[int, int, Problem]]) -> Iterator[Invalid]:
    """One for each row, in order, that names its first bad elements."""
    for row, group in itertools.groupby(sorted(problems, key=itemgetter(0, 1)), key=itemgetter(0)):
        found = list(group)
        told = [text if element == WHOLE else f"element {element}: {text}" for _, element, (_, text) in found]
        more = [f"and {len(told) - _NAMED} more"] if len(told) > _NAMED else []
        yield Invalid(row, found[0][2][0], "; ".join([*told[:_NAMED], *more]))
