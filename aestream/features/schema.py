"""The features of a model: names, paths and kinds, in the order of the matrix's columns."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from aestream.columns import MISSING, BadValueError, Column, Kind, Value, describe_gap
from aestream.errors import DataError, ModelError
from aestream.quantities import unit_remedy
from aestream.types import Flags, Matrix, Places

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The features in the order of the matrix's columns.

    `names` are for people (`cpu.user`), `paths` are the JSON keys that lead to the value (`("cpu", "user")`), `columns`
    say what the values are and what happens when one is missing; without them, all are numbers that must be present.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a schema without features, or with two of one name."""
        if not self.columns:
            object.__setattr__(self, "columns", (Column(),) * len(self.names))
        if not self.names or not len(self.names) == len(self.paths) == len(self.columns):
            raise ValueError("a feature schema needs one path and one column for each name, and at least one")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"two features are called {twice!r}: rename one of the fields, or exclude it")

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Self:
        """Make the schema of flat records of numbers: each name is its own key."""
        return cls(tuple(names), tuple((name,) for name in names))

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.names)

    @property
    def imputed(self) -> Flags:
        """Which features may be missing, (d,)."""
        return np.array([column.imputed for column in self.columns], bool)

    @property
    def steady(self) -> Flags:
        """Which features were always the same in the sample, (d,)."""
        return np.array([column.steady for column in self.columns], bool)

    @property
    def numeric(self) -> Places:
        """The places of the numbers."""
        return np.flatnonzero([column.kind is Kind.NUMERIC for column in self.columns])

    @property
    def counters(self) -> Places:
        """The places of the features that are used by their increase per second."""
        return np.flatnonzero([column.rate for column in self.columns])

    def at(self, places: Places) -> Self:
        """Return the schema of the features at these places."""
        chosen = places.tolist()
        return type(self)(
            tuple(self.names[i] for i in chosen),
            tuple(self.paths[i] for i in chosen),
            tuple(self.columns[i] for i in chosen),
        )

    def reads_like(self, other: Self) -> bool:
        """Whether a row of numbers means the same to both: what was steady in a sample does not matter."""
        return self.reading == other.reading

    @property
    def reading(self) -> str:
        """A hash (hex) of what a row of numbers means: equal for schemas that read alike."""
        columns = tuple(replace(column, steady=False) for column in self.columns)
        return replace(self, paths=tuple((name,) for name in self.names), columns=columns).hash

    def unseen(self, matrix: Matrix) -> Flags:
        """Which values of (n, d) rows are categories that training has not seen, (n, d)."""
        categorical = np.array([column.kind is Kind.CATEGORICAL for column in self.columns], bool)
        if not categorical.any():
            return np.zeros(matrix.shape, bool)
        flags: Flags = (matrix < 0) & categorical
        return flags

    @property
    def hash(self) -> str:
        """sha256 (hex) of the canonical JSON: equal for equal features in equal order."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, as JSON types."""
        columns = [column.to_dict() for column in self.columns]
        return {"names": list(self.names), "paths": [list(path) for path in self.paths], "columns": columns}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises ModelError for anything else.
        """
        try:
            names = tuple(str(name) for name in data["names"])
            paths = tuple(tuple(str(key) for key in path) for path in data["paths"])
            columns = tuple(Column.from_dict(column) for column in data["columns"])
            made = cls(names, paths, columns)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's feature schema cannot be read ({error}): train the model again") from error
        if not columns:
            raise ModelError("the model's feature schema has no kinds: train the model again")
        return made

    def matrix(self, records: Sequence[Mapping[str, Any]]) -> Matrix:
        """Read the features of decoded records -> (n, d); NaN where an imputed feature is missing.

        Raises DataError, naming the first such record, when a required feature is missing or a value is of another
        kind.
        """
        out = np.empty((len(records), len(self.paths)))
        for place, (name, path, column) in enumerate(zip(self.names, self.paths, self.columns, strict=True)):
            values = [lookup(record, path) for record in records]
            try:
                out[:, place] = column.column(values)
            except BadValueError as error:
                remedy = unit_remedy(name, values[error.row]) or "drop the record or exclude the feature"
                raise DataError(f"record {error.row}: feature {name!r} is {error}: {remedy}") from error
            missing = np.flatnonzero(np.isnan(out[:, place]))
            if len(missing) and not column.imputed:
                row = int(missing[0])
                what = describe_gap(values[row])
                raise DataError(
                    f"record {row}: feature {name!r} is {what}: drop the record, exclude the feature, or train with "
                    "`missing=impute`"
                )
        return out

    def show(self, matrix: Matrix) -> list[list[Value]]:
        """Return the rows of a matrix (n, d) as people write them: categories by name, timestamps in ISO 8601."""
        if all(column.kind is Kind.NUMERIC and not column.imputed for column in self.columns):
            rows: list[list[Value]] = matrix.tolist()
            return rows
        shown = (column.show(matrix[:, place]) for place, column in enumerate(self.columns))
        return [list(row) for row in zip(*shown, strict=True)]


def lookup(record: Mapping[str, Any], path: Path) -> object:
    """The value under a path; MISSING where the record has none."""
    value: Any = record
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return value
