"""The records that a model learns from: a bounded sample of the input topics' past, or of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aestream.codecs.base import Codec
from aestream.errors import DataError
from aestream.features.inference import infer_schema
from aestream.features.schema import FeatureSchema, LeftOut
from aestream.files import offline
from aestream.transport.base import History
from aestream.types import Batch, Matrix, Stamps

_INFERRED_FROM_RECORDS = 5_000
_INFERRED_FROM_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid records in time order, as float64 (n, d), and how they were obtained.

    `invalid` counts the records that were skipped, by reason; `origin` goes into the manifest. `keys` and
    `timestamps`, (n,), are those of the records; both are empty for a file.
    """

    matrix: Matrix
    schema: FeatureSchema
    left_out: Sequence[LeftOut]
    invalid: Mapping[str, int]
    origin: Mapping[str, Any]
    keys: Sequence[bytes | None] = ()
    timestamps: Stamps = field(default_factory=lambda: np.empty(0, np.int64))


Progress = Callable[[int, int], None]  # (records decoded, records wanted)
Choose = Callable[[Sequence[Mapping[str, Any]]], tuple[FeatureSchema, list[LeftOut]]]


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
    """

    history: History
    codec: Codec
    records: int
    period: float | None
    choose: Choose = infer_schema

    def sample(self, *, progress: Progress) -> Sample:
        """Infer the features, then decode the records."""
        schema, left_out = self.choose(self.documents(progress))
        decoder = self.codec.decoder(schema)
        parts = [np.empty((0, len(schema)))]
        stamps = [np.empty(0, np.int64)]
        keys: list[bytes | None] = []
        invalid: Counter[str] = Counter()
        offsets: dict[str, list[int]] = {}
        seen = 0
        for batch in self._read():
            decoded = decoder.decode(batch.values, batch.keys, batch.timestamps)
            parts.append(decoded.matrix)
            stamps.append(decoded.timestamps)
            keys.extend(decoded.keys)
            invalid.update(problem.reason.value for problem in decoded.invalid)
            for (topic, partition), start, stop in batch.spans:
                ends = batch.offsets[start], batch.offsets[stop - 1]
                known = offsets.get(f"{topic}/{partition}", ends)
                offsets[f"{topic}/{partition}"] = [min(*known, *ends), max(*known, *ends)]
            seen += len(batch)
            progress(seen, self.records)
        times = np.concatenate(stamps)
        order = np.argsort(times, kind="stable")  # partitions are read side by side
        times = times[order]
        keys = list(map(keys.__getitem__, order.tolist()))
        origin = {"offsets": offsets, "period_ms": [int(times[0]), int(times[-1])] if len(times) else []}
        return Sample(np.concatenate(parts)[order], schema, left_out, invalid, origin, keys, times)

    def documents(self, progress: Progress | None = None) -> list[Mapping[str, Any]]:
        """Read whole records that are spread over the sample, in time order, to infer the features from.

        `progress(0, wanted)` is called as they arrive. Raises DataError when there are none.
        """
        stride = 1
        chosen: list[tuple[int, int, Mapping[str, Any]]] = []  # timestamp, bytes, record
        seen = 0
        for batch in self._read():
            rows = slice(-seen % stride, None, stride)
            values, stamps = batch.values[rows], batch.timestamps[rows]
            found = zip(stamps, values, self.codec.documents(values), strict=True)
            chosen += [(stamp, len(value or b""), document) for stamp, value, document in found if document is not None]
            while len(chosen) > 2 * _INFERRED_FROM_RECORDS or sum(size for _, size, _ in chosen) > _INFERRED_FROM_BYTES:
                # Keep every other one, and take half as many from here on, so that all times count equally.
                chosen, stride = chosen[::2], 2 * stride
            seen += len(batch)
            if progress is not None:
                progress(0, self.records)
        if not seen:
            raise DataError(
                "the input topic has no records to train on: start a producer, or lengthen `period` if that is set"
            )
        if not chosen:
            raise DataError(
                f"none of the {seen} records in the input topic is {self.codec.record}: check `topics`, and what is "
                "produced there"
            )
        chosen.sort(key=lambda row: row[0])
        return [document for *_, document in chosen]

    def _read(self) -> Iterator[Batch]:
        return self.history.read(records=self.records, period=self.period)


@dataclass(frozen=True, slots=True)
class FileSampler:
    """The first `records` records of a file, assumed to be in time order. `choose` infers the features from some.

    `lines` reads the lines of a JSON lines file.
    """

    path: Path
    lines: Codec
    records: int
    choose: Choose = infer_schema

    def sample(self, *, progress: Progress) -> Sample:
        """Infer the features from the first records, then read the file."""
        schema, left_out = self.choose(self.documents())
        parts = [np.empty((0, len(schema)))]
        unusable = seen = 0
        for rows in offline.read_rows(self.path, schema, self.lines):
            parts.append(rows.matrix)
            unusable += len(rows.problems)
            seen += rows.count
            progress(min(seen, self.records), self.records)
            if seen >= self.records:
                break
        invalid = {"unusable": unusable} if unusable else {}
        return Sample(np.concatenate(parts)[: self.records], schema, left_out, invalid, {"file": self.path.name})

    def documents(self) -> list[Mapping[str, Any]]:
        """Read the first records, to infer the features from. Raises DataError when there are none."""
        return offline.first_records(self.path, self.lines)
