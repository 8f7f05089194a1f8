"""What a codec does: a batch of raw values in, the feature matrix and the rows that have no place in it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aestream.types import Invalid, Matrix, Places


@dataclass(frozen=True, slots=True)
class Decoded:
    """The features of the valid rows, and what is wrong with the others.

    `matrix` is float64 (m, d), all finite but for NaN where a feature is missing that may be; `rows` (m,) are its
    rows' places in the batch, ascending.
    """

    matrix: Matrix
    rows: Places
    invalid: Sequence[Invalid]


class Decoder(Protocol):
    """Decodes values of one format into the features of one schema."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode a batch. Never raises because of what a value holds: such a row is `invalid`."""
        ...
