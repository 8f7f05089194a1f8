"""What a codec does: it turns a batch of raw values into the feature matrix and the list of invalid rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aestream.types import Invalid, Matrix, Places


@dataclass(frozen=True, slots=True)
class Decoded:
    """The features of the valid rows, and what is wrong with the others.

    `matrix` is float64 (m, d), finite except for NaN where an imputed feature is missing; `rows` (m,) are the places of
    its rows in the batch, ascending.
    """

    matrix: Matrix
    rows: Places
    invalid: Sequence[Invalid]


class Decoder(Protocol):
    """Decodes values of one format into the features of one schema."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode a batch. Never raises because of what a value holds: such a row is `invalid`."""
        ...
