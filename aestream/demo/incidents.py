"""The labelled incidents of a recording: rows in which something was wrong, and the features that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aestream.errors import DataError
from aestream.types import Flags


@dataclass(frozen=True, slots=True)
class Incident:
    """Rows `start` to `end` of the test part, both included. `causes` are the features that show it, if known."""

    name: str
    start: int
    end: int
    causes: tuple[str, ...] = ()

    @property
    def rows(self) -> slice:
        """The incident's rows."""
        return slice(self.start, self.end + 1)


def from_causes(lines: str, features: Sequence[str], names: Sequence[str] = ()) -> tuple[Incident, ...]:
    """Read lines of `start-end:dims`; dims are comma-separated feature numbers, counted from 1, and optional.

    Raises DataError for any other line.
    """
    found = []
    for number, line in enumerate(filter(None, map(str.strip, lines.splitlines()))):
        try:
            rows, _, dims = line.partition(":")
            start, end = map(int, rows.split("-"))
            causes = tuple(features[int(dim) - 1] for dim in dims.split(",") if dim.strip())
        except (ValueError, IndexError):
            raise DataError(f"causes, line {number + 1}: {line!r} is not start-end:dims") from None
        found.append(Incident(names[number] if number < len(names) else "", start, end, causes))
    return tuple(found)


def from_labels(label: Flags) -> tuple[Incident, ...]:
    """The contiguous runs of labelled rows (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], label, [False]]).astype(np.int8)))
    return tuple(Incident("", int(start), int(stop) - 1) for start, stop in edges.reshape(-1, 2))


def within(incidents: Sequence[Incident], rows: int) -> tuple[Incident, ...]:
    """The incidents that begin within the first `rows` rows, cut off there."""
    return tuple(replace(i, end=min(i.end, rows - 1)) for i in incidents if i.start < rows)
