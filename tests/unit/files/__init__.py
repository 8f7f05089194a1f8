"""What tests of files share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aestream.codecs.json import JsonCodec
from aestream.features.schema import FeatureSchema
from aestream.files import rows as rows_of

LINES = JsonCodec(max_record_bytes=10_000)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def documents(path: Path, records: int = 200_000, encoding: str | None = None) -> list[Mapping[str, Any]]:
    return rows_of.documents(path, LINES, records=records, encoding=encoding)


def rows(path: Path, *names: str, encoding: str | None = None) -> list[rows_of.Rows]:
    return list(rows_of.read_rows(path, FeatureSchema.of_names(names), LINES, encoding))


def numbers(path: Path, *names: str, encoding: str | None = None) -> list[list[float]]:
    """The rows of the file; NaN in those that cannot be used."""
    found: list[list[float]] = []
    for chunk in rows(path, *names, encoding=encoding):
        whole = [[math.nan] * len(names) for _ in range(chunk.count)]
        for place, row in zip(chunk.places.tolist(), chunk.matrix.tolist(), strict=True):
            whole[place] = row
        found += whole
    return found


def problems(path: Path, *names: str) -> list[tuple[int, str]]:
    found, first = [], 0
    for chunk in rows(path, *names):
        found += [(first + row, problem) for row, problem in chunk.problems]
        first += chunk.count
    return found
