"""What the demo sends: the records of one or several entities, keyed and in the order of time, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aestream.demo import dataset
from aestream.demo.dataset import Recording
from aestream.demo.incidents import Incident
from aestream.demo.services import as_services
from aestream.errors import ConfigurationError, DataError
from aestream.types import Flags, Places, Vector

USUAL_INTERVAL = 1.0  # seconds between the rows of a file that does not give their times
_START = 946_684_800.0  # 2000-01-01: the time of the first such row


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows in the order in which they are sent: `values` (n, d), and of which entity and when, (n,) each.

    `times` are in seconds since 1970. `number` (n,) counts the rows of each entity from 0.
    """

    values: NDArray[np.floating[Any]]
    owner: Places
    times: Vector
    number: Places

    def __len__(self) -> int:
        return len(self.owner)

    def first(self, rows: int) -> Rows:
        """The first so many rows."""
        return Rows(self.values[:rows], self.owner[:rows], self.times[:rows], self.number[:rows])


@dataclass(frozen=True, slots=True)
class Case:
    """An incident, and which entities show it: `causes` has their features that do, as far as they are known.

    The rows of the incident are counted in the test part of each entity.
    """

    incident: Incident
    causes: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The rows to train on and those to stream, of the features `names`; `label` (m,) marks the latter's incidents.

    `time_field` holds the time in a record. `timed`: whether the times are known, and not assumed. `left_out` names
    what is not sent.
    """

    source: str
    names: tuple[str, ...]
    entities: tuple[str, ...]
    train: Rows
    test: Rows
    label: Flags
    cases: tuple[Case, ...]
    timed: bool
    left_out: tuple[str, ...] = ()
    time_field: str = field(default="time")

    @classmethod
    def of(cls, source: str, recordings: Mapping[str, Recording], interval: float | None = None) -> Feed:
        """The recordings of entities by their names, side by side; `interval` is in seconds, where there are no times.

        Raises DataError unless all have the same features.
        """
        parts = list(recordings.values())
        names = parts[0].names
        for entity, recording in recordings.items():
            if recording.names != names:
                differing = sorted(set(recording.names) ^ set(names)) or ["their order"]
                raise DataError(
                    f"{entity} has other features than {next(iter(recordings))}: {', '.join(differing[:5])}. All "
                    "entities of a topic share one model, so give files with the same columns"
                )
        times = [_times(part, interval or USUAL_INTERVAL) for part in parts]
        train, _ = _side_by_side([part.train for part in parts], [earlier for earlier, _ in times])
        test, order = _side_by_side([part.test for part in parts], [later for _, later in times])
        time_field = "time"
        while time_field in names:
            time_field += "_"
        left_out = tuple(dict.fromkeys(name for part in parts for name in part.left_out))
        label = np.concatenate([part.label for part in parts])[order]
        timed = interval is not None or all(part.test_times is not None for part in parts)
        return cls(source, names, tuple(recordings), train, test, label, _cases(parts), timed, left_out, time_field)

    @property
    def days(self) -> float:
        """How long the test part lasts."""
        return float(np.ptp(self.test.times)) / 86_400 if len(self.test) else 0.0

    def limited(self, rows: int | None) -> Feed:
        """The same feed with at most `rows` rows to stream."""
        if rows is None or rows >= len(self.test):
            return self
        test = self.test.first(rows)
        counts = np.bincount(test.owner, minlength=len(self.entities))
        cases = []
        for case in self.cases:
            last = max(int(counts[entity]) for entity in case.causes) - 1
            if case.incident.start <= last:
                cases.append(replace(case, incident=replace(case.incident, end=min(case.incident.end, last))))
        return replace(self, test=test, label=self.label[:rows], cases=tuple(cases))

    def rows_of(self, case: Case, entity: int | None = None) -> Flags:
        """Which rows to stream (m,) are of an incident: of all entities that show it, or of one of them."""
        number, incident = self.test.number, case.incident
        whose = list(case.causes) if entity is None else [entity]
        return np.isin(self.test.owner, whose) & (number >= incident.start) & (number <= incident.end)

    def place(self, row: int) -> str:
        """A row to stream as people read it: its number, after the entity where there are several."""
        record = f"record {self.test.number[row]}"
        return record if len(self.entities) == 1 else f"{self.entities[self.test.owner[row]]} {record}"

    def records(self, rows: Rows, start: int, stop: int) -> Iterator[dict[str, float]]:
        """The rows from `start` to before `stop` as records of time and features, without the label."""
        named = (self.time_field, *self.names)
        moments, values = rows.times[start:stop].tolist(), rows.values[start:stop].tolist()
        return (dict(zip(named, (when, *row), strict=True)) for when, row in zip(moments, values, strict=True))


def load(paths: Sequence[Path], label: str | None = None, interval: float | None = None) -> Feed:
    """Read the files at `paths`, an entity each, or the bundled recording as three services.

    `label` names the label column of a table; `interval` is in seconds. Raises DataError when a file cannot be used,
    ConfigurationError for an unknown format, and when two files would be one entity.
    """
    if not paths:
        recording = dataset.load(None)
        return Feed.of(recording.source, as_services(recording))
    found = {path.stem: dataset.load(path, label) for path in paths}
    if len(found) < len(paths):
        raise ConfigurationError("--data: a file is an entity, called like the file: give files of different names")
    source = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    return Feed.of(source, found, interval)


def _side_by_side(parts: Sequence[NDArray[np.floating[Any]]], times: Sequence[Vector]) -> tuple[Rows, Places]:
    """The first row of each entity, then the second of each, and so on; and which row of all parts each one is."""
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    number = np.concatenate([np.arange(len(part)) for part in parts])
    order = np.lexsort((owner, number))
    values = np.concatenate(parts)[order]
    return Rows(values, owner[order], np.concatenate(times)[order], number[order]), order


def _times(recording: Recording, interval: float) -> tuple[Vector, Vector]:
    """When the rows of both parts were recorded; a row every `interval` seconds if the recording does not say."""
    if recording.train_times is not None and recording.test_times is not None:
        return recording.train_times, recording.test_times
    rows = len(recording.train)
    times = np.arange(rows + len(recording.test), dtype=np.float64) * interval + _START
    return times[:rows], times[rows:]


def _cases(parts: Sequence[Recording]) -> tuple[Case, ...]:
    """The incidents of all entities by when they begin; those of one name and the same rows are one."""
    found: dict[tuple[Any, ...], Case] = {}
    for entity, part in enumerate(parts):
        for incident in part.incidents:
            shared = () if incident.name else (entity,)
            key = (incident.name, incident.start, incident.end, *shared)
            causes = found[key].causes if key in found else {}
            found[key] = Case(incident, {**causes, entity: incident.causes})
    return tuple(sorted(found.values(), key=lambda case: case.incident.start))
