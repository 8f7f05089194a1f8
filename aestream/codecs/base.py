"""What a codec does: it turns raw values into whole records, or into a feature matrix and a list of invalid rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import attrgetter
from typing import Any, Protocol, Self

import numpy as np

from aestream.features.schema import FeatureSchema
from aestream.types import Flags, Invalid, Matrix, PassedOver, Places, Scalar, Stamps


@dataclass(frozen=True, slots=True)
class Decoded:
    """The features of the valid records, and what is wrong with the others.

    `matrix` is float64 (m, d), finite except for NaN where an imputed feature is missing; `rows` (m,) are the places of
    its records' values in the batch, ascending; `invalid` is in the order of the batch too, one for a value. `keys` and
    `timestamps`, (m,), are those of the valid records. Both are empty if the values have none, as in a file.

    A value may hold several records: `elements` (m,) numbers them within their value, from 0; it is -1 for a record
    that is its whole value. It is empty if all are. Some of a value's records may be valid although the value is among
    the invalid ones. `passed` counts the records that are not to be scored. `asides` has, for each field that the
    decoder was asked for beside the features, what stands there in each valid record, (m,).
    """

    matrix: Matrix
    rows: Places
    invalid: Sequence[Invalid]
    keys: Sequence[bytes | None] = ()
    timestamps: Stamps = field(default_factory=lambda: np.empty(0, np.int64))
    elements: Places = field(default_factory=lambda: np.empty(0, np.intp))
    passed: Mapping[PassedOver, int] = field(default_factory=dict)
    asides: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def stamped(self, keys: Sequence[bytes | None], timestamps: Sequence[int]) -> Self:
        """Add the keys and timestamps of the valid records. Both are those of the whole batch, (n,), or empty."""
        stamps = np.asarray(timestamps, np.int64)
        if len(self.rows) != len(keys) or len(self.elements):
            keys = list(map(keys.__getitem__, self.rows.tolist())) if len(keys) else keys
            stamps = stamps[self.rows] if len(stamps) else stamps
        return replace(self, keys=keys, timestamps=stamps)

    def kept(self, keep: Flags) -> Self:
        """Leave out the valid records that are not to be kept, (m,)."""
        chosen = keep.tolist()
        return replace(
            self,
            matrix=self.matrix[keep],
            rows=self.rows[keep],
            keys=list(compress(self.keys, chosen)),
            timestamps=self.timestamps[keep] if len(self.timestamps) else self.timestamps,
            elements=self.elements[keep] if len(self.elements) else self.elements,
            asides={name: list(compress(values, chosen)) for name, values in self.asides.items()},
        )

    def without(self, problems: Mapping[int, Invalid]) -> Self:
        """Move valid records to the invalid ones. `problems` has what is wrong with each, by its place in `rows`."""
        if not problems:
            return self
        keep = np.ones(len(self.rows), bool)
        keep[list(problems)] = False
        return replace(self.kept(keep), invalid=one_for_a_row([*self.invalid, *problems.values()]))


def one_for_a_row(problems: Iterable[Invalid]) -> list[Invalid]:
    """Sort problems by row, and join those of one row."""
    joined: dict[int, Invalid] = {}
    for problem in sorted(problems, key=attrgetter("row")):
        first = joined.get(problem.row)
        message = problem.message if first is None else f"{first.message}; {problem.message}"
        joined[problem.row] = Invalid(problem.row, (first or problem).reason, message)
    return list(joined.values())


class Decoder(Protocol):
    """Decodes values of one format into the features of one schema."""

    def decode(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None] = (), timestamps: Sequence[int] = ()
    ) -> Decoded:
        """Decode a batch. Never raises because of what a value holds: such a row is `invalid`.

        `keys` and `timestamps` are as long as `values`, or empty; those of the valid records are kept.
        """
        ...


class Codec(Protocol):
    """One format of records: read whole to infer the features from, then decoded into these features."""

    @property
    def record(self) -> str:
        """The name of a record in this format, with its article, for a message."""
        ...

    def documents(self, values: Sequence[bytes | None]) -> list[Sequence[Mapping[str, Any]]]:
        """Each value's records, complete; none for a value without any. Never raises because of a value."""
        ...

    def refusal(self, value: bytes | None) -> str | None:
        """Why a value has no record that can be read; None if it has one, or is passed over."""
        ...

    def decoder(self, schema: FeatureSchema, asides: Sequence[str] = ()) -> Decoder:
        """Make the decoder for a schema that also reads the fields called `asides`, whether features or not.

        A name with dots means a field of that name, or one inside objects. What is neither text nor a finite number nor
        a boolean is None, as is a field that is not there; no aside makes a record invalid.
        """
        ...
