"""The records that a model learns from: a bounded sample of the input topics' past, or of a file."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aestream.codecs.base import Codec
from aestream.codecs.marks import marks_of, moments_of
from aestream.columns import Kind
from aestream.detector.detector import Detector
from aestream.detector.series import Naming
from aestream.errors import DataError, UnreadableError
from aestream.features.roles import NO_ROLES, Roles
from aestream.features.schema import FeatureSchema
from aestream.files.rows import documents, read_rows
from aestream.inference import coverage
from aestream.inference.documents import Documents
from aestream.inference.infer import Inference, infer
from aestream.inference.spread import Spread
from aestream.models.fit import Progress as Step
from aestream.transport import clocks
from aestream.transport.base import History
from aestream.types import Batch, Key, Matrix, Places, Stamps, Vector

_INFERRED_FROM_RECORDS = 10_000
_INFERRED_FROM_BYTES = 64 * 2**20
_NEARLY_ALL = 0.99  # of the timestamps must be times; the others take the one before


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid records in time order, as float64 (n, d), and how they were obtained.

    `invalid` counts the records that were skipped, by reason; `origin` goes into the manifest. `keys` (n,) are those of
    the records' entities, empty where they have none; `times` (n,) are in seconds, None where they are unknown or not
    needed. `timestamps` (n,) are those in Kafka; they are empty for a file, and where they tell no time. `roles` name
    the fields of keys and times. Each of the `warnings` is one line.
    """

    matrix: Matrix
    schema: FeatureSchema
    inference: Inference
    invalid: Mapping[str, int]
    origin: Mapping[str, Any]
    keys: Sequence[Key] = ()
    timestamps: Stamps = field(default_factory=lambda: np.empty(0, np.int64))
    warnings: Sequence[str] = ()
    times: Vector | None = None
    roles: Roles = NO_ROLES

    @property
    def numbers(self) -> Matrix:
        """The numeric features, (n, k)."""
        return self.matrix[:, [column.kind is Kind.NUMERIC for column in self.schema.columns]]

    @property
    def covered(self) -> str:
        """The span of time that the records cover, in words; empty if it is not known."""
        times = self.inference.stamps if len(self.inference.stamps) else self.timestamps
        return coverage.in_words(times) if len(times) else ""


Progress = Callable[[int, int], None]  # (records decoded, records wanted)
Choose = Callable[[Documents], Inference]


class Sampler(Protocol):
    """Where records to learn from are read."""

    def sample(self, *, progress: Progress) -> Sample:
        """Read the records; `progress` is called as they arrive, and whatever it raises ends the reading.

        Raises DataError when there is nothing to learn from, TransportError when the records cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class TopicSampler:
    """The newest `records` records of the input topics, none older than `period` seconds if that is given.

    The past is read twice: once to infer the features from records spread over all of it, once to decode every record
    into them. So memory is bounded by `records` rows of features and their keys, whatever else a record holds.

    `roles` name the fields that tell entities and times, where records are to be judged with those before them; None:
    each is judged alone.
    """

    history: History
    codec: Codec
    records: int
    period: float | None
    choose: Choose = infer
    roles: Roles | None = None

    def sample(self, *, progress: Progress) -> Sample:
        """Infer the features, then decode the records."""
        documents = self.documents(progress)
        found = self.choose(documents)
        schema = found.schema()
        roles = self.roles or NO_ROLES
        decoder = self.codec.decoder(schema, roles.names)
        parts = [np.empty((0, len(schema)))]
        stamps = [np.empty(0, np.int64)]
        moments = [np.empty(0)]
        keys: list[Key] = []
        invalid: Counter[str] = Counter()
        offsets: dict[str, list[int]] = {}
        seen = 0
        for batch in self._read():
            decoded = decoder.decode(batch.values, batch.keys, batch.timestamps)
            parts.append(decoded.matrix)
            stamps.append(decoded.timestamps)
            if self.roles is not None:
                marks = marks_of(decoded, roles, moments_of(decoded))
                keys.extend(marks.keys or ())
                moments.append(np.empty(0) if marks.times is None else marks.times)
            invalid.update(problem.reason.value for problem in decoded.invalid)
            for (topic, partition), start, stop in batch.spans:
                ends = batch.offsets[start], batch.offsets[stop - 1]
                known = offsets.get(f"{topic}/{partition}", ends)
                offsets[f"{topic}/{partition}"] = [min(*known, *ends), max(*known, *ends)]
            seen += len(batch)
            progress(seen, self.records)
        order, times, warnings = _in_order(np.concatenate(stamps))
        # messages may hold several records: the newest are enough
        order, times = order[-self.records :], times[-self.records :]
        origin = {"offsets": offsets, "period_ms": [int(times[0]), int(times[-1])] if len(times) else []}
        matrix = np.concatenate(parts)[order]
        sample = Sample(matrix, schema, found, invalid, origin, (), times, warnings, roles=roles)
        if self.roles is not None:
            sample = _by_time(sample, np.concatenate(moments)[order], [keys[row] for row in order.tolist()])
        by_field = len(found.stamps) > 0 and not np.array_equal(found.stamps, documents.timestamps)
        return replace(sample, warnings=self._warnings(sample, seen, by_field=by_field))

    def documents(self, progress: Progress | None = None) -> Documents:
        """Read whole records that are spread over the sample, in time order, to infer the features from.

        `progress(0, wanted)` is called as they arrive. Raises DataError when there are none.
        """
        spread = Spread(records=_INFERRED_FROM_RECORDS, max_bytes=_INFERRED_FROM_BYTES)
        seen = 0
        why: str | None = None
        for batch in self._read():
            chosen = spread.choose(batch.keys)
            values = list(map(batch.values.__getitem__, chosen.tolist()))
            records = self.codec.documents(values)
            if why is None and not any(records):
                why = next(filter(None, map(self.codec.refusal, values)), None)
            spread.add(chosen, batch.keys, batch.timestamps, batch.values, records)
            seen += len(batch)
            if progress is not None:
                progress(0, self.records)
        found = spread.documents()
        if not seen:
            raise DataError(
                "the input topic has no records to train on: start a producer, or lengthen `period` if that is set"
            )
        if not len(found) and why is None:
            raise DataError(f"all of the {seen} records in the input topic are passed over: check `where` and `layout`")
        if not len(found):
            raise UnreadableError(
                f"none of the {seen} records in the input topic can be read: {why}; or check `topics`, and what is "
                "produced there"
            )
        order, times, _ = _in_order(found.timestamps)
        rows = order.tolist()
        return Documents(list(map(found.records.__getitem__, rows)), list(map(found.keys.__getitem__, rows)), times)

    def _warnings(self, sample: Sample, seen: int, *, by_field: bool) -> Sequence[str]:
        """What to know about the times that a sample covers, of which so many messages were read.

        Where a field tells the time, it is known of some of the records only, and no cycle is looked for.
        """
        times, values, told = sample.timestamps, sample.numbers, sample.warnings
        if by_field:
            times, told = sample.inference.stamps, ()
            values = np.empty((len(times), 0))
        read = max(seen, len(sample.matrix))
        more = self._left_out_older(sample.timestamps, read)
        return [*told, *coverage.warnings(times, values, records=read, wanted=self.records, more=more)]

    def _left_out_older(self, times: Stamps, seen: int) -> bool:
        """Whether the topic seems to hold records that are older than the sample."""
        if seen >= _NEARLY_ALL * self.records:
            return True
        if self.period is None or not len(times):
            return False
        return bool(time.time() * 1000 - times[0] > _NEARLY_ALL * self.period * 1000)

    def _read(self) -> Iterator[Batch]:
        return self.history.read(records=self.records, period=self.period)


@dataclass(frozen=True, slots=True)
class FileSampler:
    """The first `records` records of a file, assumed to be in time order. `choose` infers the features from some.

    `lines` reads the lines of a JSON lines file. `encoding` is that of a text file; None finds it out. `roles` name the
    fields that tell entities and times; with `until`, in seconds, the sample is the last `records` before that time.
    """

    path: Path
    lines: Codec
    records: int
    choose: Choose = infer
    encoding: str | None = None
    roles: Roles = NO_ROLES
    until: float | None = None

    def sample(self, *, progress: Progress) -> Sample:
        """Infer the features from records all over the file, then read it."""
        found = self.choose(self.documents())
        schema = found.schema()
        parts = [np.empty((0, len(schema)))]
        keys: list[Key] = []
        times = [np.empty(0)]
        unusable = seen = 0
        first = ""
        for rows in read_rows(self.path, schema, self.lines, self.encoding, self.roles):
            kept = rows if self.until is None else rows.between(-np.inf, self.until)
            parts.append(kept.matrix)
            keys += kept.marks.keys or ()
            times += [] if kept.marks.times is None else [kept.marks.times]
            if rows.problems and not unusable:
                place, problem = rows.problems[0]
                first = f"the first (row {seen + place}) because {problem}"
            unusable += len(rows.problems)
            seen += rows.count
            progress(min(seen, self.records), self.records)
            if seen >= self.records and self.until is None:
                break
        invalid = {"unusable": unusable} if unusable else {}
        chosen = slice(self.records) if self.until is None else slice(-self.records, None)
        matrix, keys = np.concatenate(parts)[chosen], keys[chosen]
        when = None if self.roles.time is None else np.concatenate(times)[chosen]
        # which cycles the values follow is looked for in topics only
        nothing = np.empty((len(found.stamps), 0))
        warnings = coverage.warnings(
            found.stamps,
            nothing,
            records=min(seen, self.records),
            wanted=self.records,
            more=seen > self.records,
            file=True,
        )
        if unusable:
            warnings.append(f"{unusable} of the {seen} records cannot be used, {first}")
        origin = {"file": self.path.name}
        return Sample(matrix, schema, found, invalid, origin, keys, warnings=warnings, times=when, roles=self.roles)

    def documents(self) -> Documents:
        """Read records that are spread over the sample, to infer the features from.

        Raises DataError when there are none.
        """
        if self.until is None:
            return Documents(documents(self.path, self.lines, records=self.records, encoding=self.encoding))
        found = self._all()
        return Documents(list(compress(found, (self.roles.moments(found) < self.until).tolist())))

    def middle(self) -> float:
        """The time that about half of the file's records lie before, in seconds.

        Raises DataError when the times do not tell.
        """
        moments = self.roles.moments(self._all())
        known = moments[np.isfinite(moments)]
        middle = float(np.median(known)) if len(known) else math.nan
        if not np.any(known < middle):
            told = f"cannot be cut in halves by {self.roles.time!r}, which `time` names"
            raise DataError(f"{self.path} {told}: its times are unknown, or most are the same: name another field")
        return middle

    def _all(self) -> list[Mapping[str, Any]]:
        return documents(self.path, self.lines, records=sys.maxsize, encoding=self.encoding)


def fit(detector: Detector, sample: Sample, progress: Callable[[Step], None] | None = None) -> Detector:
    """Fit a detector on a sample, and return it. Raises what `Detector.fit_matrix` raises."""
    keys = None if set(sample.keys) <= {None} else list(sample.keys)
    return detector.fit_matrix(
        sample.matrix,
        sample.schema,
        keys=keys,
        times=sample.times,
        naming=Naming(keys is not None, sample.times is not None, sample.roles.key or None, sample.roles.time),
        fields=sample.inference.notes,
        progress=progress,
    )


def _by_time(sample: Sample, times: Vector, keys: Sequence[Key]) -> Sample:
    """Add the times (n,) and keys (n,) of a sample's records, and sort them by time: messages may be in another order.

    Where neither a field nor the messages tell the time, the order stays.
    """
    if len(sample.timestamps):
        stamps = sample.timestamps / 1000
        times = stamps if sample.roles.time is None else np.where(np.isnan(times), stamps, times)
    elif sample.roles.time is None:
        if len(counters := sample.schema.counters):
            raise DataError(
                f"{sample.schema.names[counters[0]]} is a counter, and the Kafka timestamps do not tell how fast it "
                "rises: name a field that holds the time in `time`"
            )
        return replace(sample, keys=keys)
    order = np.argsort(times, kind="stable")
    return replace(
        sample,
        matrix=sample.matrix[order],
        keys=[keys[row] for row in order.tolist()],
        times=times[order],
        timestamps=sample.timestamps[order] if len(sample.timestamps) else sample.timestamps,
    )


def _in_order(stamps: Stamps) -> tuple[Places, Stamps, list[str]]:
    """The order of Kafka timestamps, (n,), the times in that order, in milliseconds, and warnings about them.

    Where they tell no time, the order is that of reading, and there are no times.
    """
    times, good = clocks.milliseconds(stamps, now=int(time.time() * 1000))
    if len(stamps) and good.mean() < _NEARLY_ALL:
        warning = (
            f"{1 - good.mean():.0%} of the Kafka timestamps are not times, or lie in the future, so the order of the "
            "records is unknown: name a field that holds the time in `time`"
        )
        return np.arange(len(stamps)), np.empty(0, np.int64), [warning]
    known = np.flatnonzero(good)
    if len(known) < len(times):
        times = times[known[np.maximum(np.cumsum(good) - 1, 0)]]
    order = np.argsort(times, kind="stable")  # partitions are read side by side
    unit = clocks.name(stamps)
    return order, times[order], [] if unit == "milliseconds" else [f"the Kafka timestamps are read as {unit}"]
