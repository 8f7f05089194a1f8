"""Decoded records to columns, a feature at a time and whatever its name: for what the typed decoder cannot read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aestream.codecs.problems import Path, Problem, problem_at
from aestream.columns import BadValueError, Column
from aestream.types import Matrix, Vector

_NO_FIELDS: Mapping[str, Any] = {}
_Objects = list[dict[str, Any]]


def read(
    records: Sequence[dict[str, Any]], paths: Sequence[Path], columns: Sequence[Column]
) -> tuple[Matrix, dict[int, Problem]]:
    """Read the features of decoded records -> (n, d), and the first problem of each row that cannot be used."""
    matrix = np.empty((len(records), len(paths)))
    problems: dict[int, Problem] = {}
    levels: dict[Path, tuple[_Objects, list[int]]] = {(): (list(records), [])}
    for place, (path, column) in enumerate(zip(paths, columns, strict=True)):
        objects, lost = _objects(levels, path[:-1])
        values = list(map(dict.get, objects, itertools.repeat(path[-1])))
        matrix[:, place], misfits = _numbers(column, values)
        gaps = [] if column.imputed else np.flatnonzero(np.isnan(matrix[:, place])).tolist()
        for row in {*lost, *misfits, *gaps} - problems.keys():
            problems[row] = problem_at(records[row], path, column)
    return matrix, problems


def _objects(levels: dict[Path, tuple[_Objects, list[int]]], path: Path) -> tuple[_Objects, list[int]]:
    """The object at `path` of each record, an empty one for null and for none; and the rows with something else."""
    if path not in levels:
        above, lost = _objects(levels, path[:-1])
        found: list[Any] = list(map(dict.get, above, itertools.repeat(path[-1]), itertools.repeat(_NO_FIELDS)))
        if set(map(type, found)) - {dict}:
            strange = [row for row, value in enumerate(found) if value is not None and type(value) is not dict]
            lost = [*lost, *strange]
            found = [value if type(value) is dict else _NO_FIELDS for value in found]
        levels[path] = found, lost
    return levels[path]


def _numbers(column: Column, values: Sequence[Any]) -> tuple[Vector, list[int]]:
    """A column's numbers (n,), and the rows whose value does not fit."""
    try:
        return column.column(values), []
    except BadValueError:
        numbers = np.full(len(values), np.nan)
    misfits = []
    for row, value in enumerate(values):
        try:
            numbers[row] = column.number(value)
        except ValueError:
            misfits.append(row)
    return numbers, misfits
