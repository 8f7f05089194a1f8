"""What a codec does: it turns raw values into whole records, or into a feature matrix and a list of invalid rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import Any, Protocol, Self

import numpy as np

from aestream.features.schema import FeatureSchema
from aestream.types import Invalid, Matrix, Places, Stamps


@dataclass(frozen=True, slots=True)
class Decoded:
    """The features of the valid rows, and what is wrong with the others.

    `matrix` is float64 (m, d), finite except for NaN where an imputed feature is missing; `rows` (m,) are the places of
    its rows in the batch, ascending; `invalid` is in the order of the batch too. `keys` and `timestamps`, (m,), are
    those of the valid rows. Both are empty if the values have none, as in a file.
    """

    matrix: Matrix
    rows: Places
    invalid: Sequence[Invalid]
    keys: Sequence[bytes | None] = ()
    timestamps: Stamps = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(
        cls,
        matrix: Matrix,
        rows: Places,
        invalid: Sequence[Invalid],
        keys: Sequence[bytes | None],
        timestamps: Sequence[int],
    ) -> Self:
        """Keep the keys and timestamps of the valid rows. Both are those of the whole batch, (n,), or empty."""
        stamps = np.asarray(timestamps, np.int64)
        if len(rows) < len(keys):
            keys = list(map(keys.__getitem__, rows.tolist()))
            stamps = stamps[rows]
        return cls(matrix, rows, invalid, keys, stamps)

    def without(self, problems: Sequence[Invalid]) -> Decoded:
        """Move valid rows to the invalid ones. `problems` names each of these rows once."""
        if not problems:
            return self
        keep = np.ones(len(self.rows), bool)
        keep[np.searchsorted(self.rows, [problem.row for problem in problems])] = False
        return Decoded(
            self.matrix[keep],
            self.rows[keep],
            sorted([*self.invalid, *problems], key=attrgetter("row")),
            list(compress(self.keys, keep.tolist())),
            self.timestamps[keep] if len(self.timestamps) else self.timestamps,
        )


class Decoder(Protocol):
    """Decodes values of one format into the features of one schema."""

    def decode(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None] = (), timestamps: Sequence[int] = ()
    ) -> Decoded:
        """Decode a batch. Never raises because of what a value holds: such a row is `invalid`.

        `keys` and `timestamps` are as long as `values`, or empty; those of the valid rows are kept.
        """
        ...


class Codec(Protocol):
    """One format of records: read whole to infer the features from, then decoded into these features."""

    @property
    def record(self) -> str:
        """The name of a record in this format, with its article, for a message."""
        ...

    def documents(self, values: Sequence[bytes | None]) -> list[Mapping[str, Any] | None]:
        """Each value's record, complete; None for a value that is not one. Never raises because of a value."""
        ...

    def decoder(self, schema: FeatureSchema) -> Decoder:
        """Make the decoder for a schema. Raises DataError for a field that this format cannot read."""
        ...
