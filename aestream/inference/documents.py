"""Whole records of a sample, to infer the features from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from aestream.types import Places, Stamps


@dataclass(frozen=True, slots=True)
class Documents:
    """Decoded records in time order, with the text of their keys and their times.

    `keys` (n,) and `timestamps` (n,), in milliseconds since the epoch, are empty if the records have none, as in a
    file.
    """

    records: Sequence[Mapping[str, Any]]
    keys: Sequence[str | None] = ()
    timestamps: Stamps = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.records)

    def at(self, rows: Places) -> Self:
        """The documents at these places, in this order."""
        places = rows.tolist()
        return type(self)(
            [self.records[place] for place in places],
            [self.keys[place] for place in places] if self.keys else (),
            self.timestamps[rows] if len(self.timestamps) else self.timestamps,
        )
