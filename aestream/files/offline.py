"""Score, encode and denoise files with the same detector that scores the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.codecs.base import Codec
from aestream.columns import Column, Kind, Value
from aestream.detector.detection import Detection, Wanted
from aestream.detector.detector import Detector
from aestream.errors import DataError
from aestream.features.roles import NO_ROLES, Roles
from aestream.features.schema import FeatureSchema
from aestream.files.rows import Rows, read_rows
from aestream.files.writers import Columns, Writer
from aestream.types import Key, Level, Matrix, Phase, Status, Vector


class Replay:
    """Judges chunks of records one after another, as a worker does: each with those of its entity before it.

    An entity goes on from the end of the training; one whose first records here are mostly older begins anew.
    """

    def __init__(self, detector: Detector) -> None:
        self._stream = detector.stream()
        self.timed = detector.naming.timed  # whether it is told times
        self._seen: set[Key] = set()

    def detect(self, rows: Rows, *, explain: bool = False, latent: bool = False, rebuild: bool = False) -> Detection:
        """Judge the next chunk. Raises DataError when the detector needs keys or times, and the chunk has none."""
        matrix, keys, times = self._stream.read(rows.matrix, rows.marks.keys, rows.marks.times if self.timed else None)
        new = set() if times is None else set(keys) - self._seen
        if times is not None and new:
            first = [place for place, key in enumerate(keys) if key in new]
            self._stream.forget_later(list(map(keys.__getitem__, first)), times[first])
            self._seen |= new
        return self._stream.judge(matrix, keys, times, Wanted(explain, latent, rebuild))


def score(replay: Replay, _: FeatureSchema, rows: Rows) -> Columns:
    """score, anomaly, error and p_value of each row; of entities also threshold, status, level and episode."""
    found = replay.detect(rows)
    columns = {"score": found.score, "anomaly": found.anomaly, "error": found.error, "p_value": found.p_value}
    if found.episodes is None:
        return columns
    within = found.phase != Phase.NONE
    since = np.where(within, found.episodes.since, np.nan)
    return {
        **columns,
        "threshold": found.threshold,
        "status": _words(Status)[found.status].tolist(),
        "level": _words(Level)[found.level].tolist(),
        "episode.id": np.where(within, found.episodes.number, np.nan),
        "episode.state": _words(Phase, no=Phase.NONE)[found.phase].tolist(),
        "episode.since": Column(Kind.TIMESTAMP, unit="s").show(since) if replay.timed else since,
        "episode.worst": np.where(within, found.episodes.worst, np.nan),
    }


_LATE = Status.LATE.name.lower()


def _words(kind: type[IntEnum], no: IntEnum | None = None) -> NDArray[Any]:
    """What the codes of a kind are called, in their order; None for `no`."""
    return np.array([None if member is no else member.name.lower() for member in kind], object)


def encode(replay: Replay, _: FeatureSchema, rows: Rows) -> Columns:
    """The latent vector of each row."""
    latent = replay.detect(rows, latent=True).latent
    assert latent is not None  # noqa: S101 - asked for
    return {f"latent_{i}": column for i, column in enumerate(latent.T)}


def denoise(replay: Replay, schema: FeatureSchema, rows: Rows) -> Columns:
    """The reconstruction of each row, in the features' own units, categories by name."""
    rebuilt = replay.detect(rows, rebuild=True).reconstruction
    assert rebuilt is not None  # noqa: S101 - asked for
    pairs = zip(schema.names, schema.columns, rebuilt.T, strict=True)
    return {name: values if column.kind is Kind.NUMERIC else column.show(values) for name, column, values in pairs}


def apply(
    work: Callable[[Replay, FeatureSchema, Rows], Columns],
    detector: Detector,
    path: Path,
    lines: Codec,
    encoding: str | None = None,
    roles: Roles = NO_ROLES,
) -> Iterator[Columns]:
    """Run `score`, `encode` or `denoise` over a file. `roles` name the fields that tell entities and times.

    Yields chunks with one row for every record: its number, the results, and under `problem` why there are none.
    Raises DataError when the file cannot be read or holds no records.
    """
    first = 0
    schema, replay = detector.schema, Replay(detector)
    for rows in read_rows(path, schema, lines, encoding, roles if detector.remembers else NO_ROLES):
        problems: list[str | None] = [None] * rows.count
        for place, problem in rows.problems:
            problems[place] = problem
        results = {name: _spread(column, rows) for name, column in work(replay, schema, rows).items()}
        yield {"row": np.arange(first, first + rows.count), **results, "problem": problems}
        first += rows.count
    if not first:
        raise DataError(f"{path} holds no records")


@dataclass(frozen=True, slots=True)
class Written:
    """How many records were written, how many of these without a result, why the first one has none, how many late."""

    records: int = 0
    failed: int = 0
    why: str | None = None
    late: int = 0

    @property
    def notes(self) -> Iterator[str]:
        """What a person should know, one sentence each."""
        if self.failed:
            yield f"{self.failed} of {self.records} records have no result, the first because {self.why}"
        if 2 * self.late > self.records:
            yield (
                f"{self.late} of {self.records} records are older than one of their entity before them, and could not "
                "be flagged: sort the file by its times"
            )


def write(chunks: Iterable[Columns], writer: Writer) -> Written:
    """Write the chunks that `apply` yields."""
    done = Written()
    for chunk in chunks:
        writer.write(chunk)
        problems = [problem for problem in chunk["problem"] if problem]
        why = done.why or (problems[0] if problems else None)
        late = list(chunk.get("status", ())).count(_LATE)
        done = Written(done.records + len(chunk["problem"]), done.failed + len(problems), why, done.late + late)
    return done


def _spread(column: Sequence[Any] | NDArray[Any], rows: Rows) -> Vector | Matrix | list[Value]:
    """Put results back into their rows; a row without one holds NaN, or None for flags and text."""
    if not isinstance(column, np.ndarray) or column.dtype == np.bool_:
        flags: list[Value] = [None] * rows.count
        values = column.tolist() if isinstance(column, np.ndarray) else column
        for place, value in zip(rows.places.tolist(), values, strict=True):
            flags[place] = value
        return flags
    whole = np.full(rows.count, np.nan)
    whole[rows.places] = column
    return whole
