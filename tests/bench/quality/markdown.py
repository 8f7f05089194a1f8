"""Tables and numbers of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Document: TypeAlias = dict[str, Any]
# What stands on the right of its column, as numbers do.
_NUMBER = re.compile(r"(\*\*)?[+-]?\d|$")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table; columns of numbers stand on the right."""
    sides = ["---:" if all(_NUMBER.match(line[place]) for line in lines) else "---" for place in range(len(head))]
    rows = [head, sides, *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def percent(value: float | None, digits: int) -> str:
    """A share in per cent; nothing where there is none."""
    return "" if value is None else f"{100 * value:.{digits}f}"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what there is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
