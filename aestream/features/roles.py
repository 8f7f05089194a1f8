"""What a record says beside its features: which entity it is of, when it was recorded, and whether it is labelled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from aestream.columns import MISSING, TEXT, BadValueError, Column, Kind
from aestream.errors import DataError
from aestream.features.schema import lookup
from aestream.features.series import seconds
from aestream.quantities import stands_for_nothing
from aestream.types import Flags, Key, Places, Scalar, Vector

if TYPE_CHECKING:
    import pyarrow as pa

_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Of m records: the `keys` of their entities, their `times` in seconds, and whether they are labelled, (m,) each.

    A key is a text, a tuple of texts where several fields make it, and has None for a field that is not there. A time
    that is not known is NaN. Each of the three is None where no field was named for it.
    """

    keys: Sequence[Key] | None = None
    times: Vector | None = None
    labels: Flags | None = None

    def at(self, places: Places) -> Marks:
        """Those of the records at these places."""
        return Marks(
            None if self.keys is None else list(map(self.keys.__getitem__, places.tolist())),
            None if self.times is None else self.times[places],
            None if self.labels is None else self.labels[places],
        )


@dataclass(frozen=True, slots=True)
class Roles:
    """The fields that tell entities apart, the one that holds the time, and the one that marks what was wrong."""

    key: Sequence[str] = ()
    time: str | None = None
    label: str | None = None

    @property
    def names(self) -> Sequence[str]:
        """All of these fields, each once."""
        return list(dict.fromkeys(name for name in (*self.key, self.time, self.label) if name is not None))

    def of_columns(self, columns: Mapping[str, Sequence[Scalar]]) -> Marks:
        """Read them from columns by name, (m,) each, as a decoder's `asides` are.

        Raises DataError when no record has a time or a label that can be read.
        """
        return self._marks(columns.__getitem__, texts)

    def of_table(self, table: pa.Table) -> Marks:
        """Read them from a table. Raises DataError as `of_columns` does, and when the table lacks one of the fields."""
        from aestream.features import arrow  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

        places = {name: place for place, name in enumerate(table.column_names)}

        def column(name: str) -> pa.ChunkedArray:
            found = arrow.column_at(table, places, tuple(name.split(".")))
            if found is None:
                has = ", ".join(table.column_names[:10])
                raise DataError(f"the table lacks {name}, which `{self._role(name)}` names; it has {has}")
            return found

        return self._marks(column, lambda found: arrow.texts(found).to_pylist())

    def moments(self, records: Sequence[Mapping[str, Any]]) -> Vector:
        """The times of whole records in seconds, (n,), NaN where one is not known. Raises DataError as `of_columns`."""
        name = self.time or ""
        values = [lookup(record, (name,) if name in record else tuple(name.split("."))) for record in records]
        return _times(name, [None if value is MISSING else value for value in values])

    def _marks(self, values: Callable[[str], Any], written: Callable[[Any], Sequence[str | None]]) -> Marks:
        keys: list[Sequence[str | None]] = [written(values(name)) for name in self.key]
        return Marks(
            None if not keys else list(keys[0]) if len(keys) == 1 else list(zip(*keys, strict=True)),
            None if self.time is None else _times(self.time, values(self.time)),
            None if self.label is None else _labels(self.label, written(values(self.label))),
        )

    def _role(self, name: str) -> str:
        return "key" if name in self.key else "time" if name == self.time else "label"


NO_ROLES = Roles()
NO_MARKS = Marks()


def texts(values: Sequence[Scalar]) -> Sequence[str | None]:
    """Values as text, (m,): numbers and booleans as JSON has them."""
    kinds = set(map(type, values))
    if kinds <= {str, NoneType}:
        return values  # type: ignore[return-value]
    if kinds <= {int, float}:
        return list(map(repr, values))
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def _times(name: str, values: Any) -> Vector:
    """Times of any kind in seconds, (m,); what is no time is NaN, if some are."""
    try:
        return seconds(values)
    except BadValueError as error:
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values
        numbers, moments = (_each(column, listed) for column in (Column(), Column(Kind.TIMESTAMP, unit=TEXT)))
        found = np.where(np.isnan(moments), seconds(numbers), moments)
        if np.isnan(found).all():
            told = f"{listed[error.row]!r}, neither ISO 8601 text nor a number"
            raise DataError(f"the field {name!r} is named in `time`, but holds {told}: name another") from error
        return found


def _each(column: Column, values: Sequence[Any]) -> Vector:
    """Each value by itself, (m,); NaN for one that does not fit."""
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            found[row] = column.number(value)
        except ValueError:
            continue
    return found


def _labels(name: str, texts: Sequence[str | None]) -> Flags:
    """Whether each record is labelled, (m,): a number but 0, or true."""
    return np.array(list(map({text: _label(name, text) for text in dict.fromkeys(texts)}.__getitem__, texts)), bool)


def _label(name: str, text: str | None) -> bool:
    if text is None or stands_for_nothing(text):
        return False
    try:
        return _FLAGS[text.lower()] if text.lower() in _FLAGS else float(text) != 0
    except ValueError:
        raise DataError(
            f"the label {name!r} holds {text!r}: it must be a number or a flag, 0 or false where all was well"
        ) from None
