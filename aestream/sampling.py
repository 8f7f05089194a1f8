"""The records that a model learns from: a bounded sample of the input topics' past, or of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aestream.codecs.base import Decoder
from aestream.codecs.json import documents
from aestream.errors import DataError
from aestream.features.inference import infer_schema
from aestream.features.schema import FeatureSchema, LeftOut
from aestream.files import offline
from aestream.transport.base import History
from aestream.types import Batch, Matrix

_INFERRED_FROM_RECORDS = 5_000
_INFERRED_FROM_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid records in time order, as float64 (n, d), and how they were obtained.

    `invalid` counts the records that were skipped, by reason; `origin` goes into the manifest.
    """

    matrix: Matrix
    schema: FeatureSchema
    left_out: Sequence[LeftOut]
    invalid: Mapping[str, int]
    origin: Mapping[str, Any]


Choose = Callable[[Sequence[Mapping[str, Any]]], tuple[FeatureSchema, list[LeftOut]]]


class Sampler(Protocol):
    """Where records to learn from are read."""

    def sample(self, *, progress: Callable[[int, int], None]) -> Sample:
        """Read the records; `progress(read, wanted)` is called as they arrive.

        Raises DataError when there is nothing to learn from, TransportError when the records cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class TopicSampler:
    """The newest `records` records of the input topics, none older than `period` seconds if that is given.

    The past is read twice: once to infer the features from records spread over all of it, once to decode every record
    into them. So memory is bounded by `records` rows of features, whatever else a record holds.
    """

    history: History
    decoder: Callable[[FeatureSchema], Decoder]
    records: int
    period: float | None
    choose: Choose = infer_schema

    def sample(self, *, progress: Callable[[int, int], None]) -> Sample:
        """Infer the features, then decode the records."""
        schema, left_out = self.choose(self.documents())
        decoder = self.decoder(schema)
        parts = [np.empty((0, len(schema)))]
        stamps = [np.empty(0, np.int64)]
        invalid: Counter[str] = Counter()
        offsets: dict[str, list[int]] = {}
        seen = 0
        for batch in self._read():
            decoded = decoder.decode(batch.values)
            parts.append(decoded.matrix)
            stamps.append(np.asarray(batch.timestamps, np.int64)[decoded.rows])
            invalid.update(problem.reason.value for problem in decoded.invalid)
            for (topic, partition), start, stop in batch.spans:
                first, _ = offsets.get(f"{topic}/{partition}", (batch.offsets[start], 0))
                offsets[f"{topic}/{partition}"] = [first, batch.offsets[stop - 1]]
            seen += len(batch)
            progress(seen, self.records)
        times = np.concatenate(stamps)
        order = np.argsort(times, kind="stable")  # partitions are read side by side
        period = [int(times[order[0]]), int(times[order[-1]])] if len(times) else []
        origin = {"offsets": offsets, "period_ms": period}
        return Sample(np.concatenate(parts)[order], schema, left_out, invalid, origin)

    def documents(self) -> list[dict[str, Any]]:
        """Read whole records that are spread over the sample, in time order, to infer the features from.

        Raises DataError when there are none.
        """
        stride = 1
        chosen: list[tuple[int, int, dict[str, Any]]] = []  # timestamp, bytes, record
        seen = size = 0
        for batch in self._read():
            for row in range(-seen % stride, len(batch), stride):
                value = batch.values[row] or b""
                chosen.extend((batch.timestamps[row], len(value), document) for document in documents([value]))
                size += len(value)
                if len(chosen) > 2 * _INFERRED_FROM_RECORDS or size > _INFERRED_FROM_BYTES:
                    # Keep every other one, and take half as many from here on, so that all times count equally.
                    chosen, stride = chosen[::2], 2 * stride
                    size = sum(length for _, length, _ in chosen)
            seen += len(batch)
        if not seen:
            raise DataError(
                "the input topic has no records to train on: start a producer, or lengthen `period` if that is set"
            )
        if not chosen:
            raise DataError(
                f"none of the {seen} records in the input topic is a JSON object: check `topics`, and what is produced "
                "there"
            )
        chosen.sort(key=lambda row: row[0])
        return [document for *_, document in chosen]

    def _read(self) -> Iterator[Batch]:
        return self.history.read(records=self.records, period=self.period)


@dataclass(frozen=True, slots=True)
class FileSampler:
    """The first `records` records of a file, assumed to be in time order. `choose` infers the features from some."""

    path: Path
    records: int
    max_record_bytes: int
    choose: Choose = infer_schema

    def sample(self, *, progress: Callable[[int, int], None]) -> Sample:
        """Infer the features from the first records, then read the file."""
        schema, left_out = self.choose(self.documents())
        parts = [np.empty((0, len(schema)))]
        unusable = seen = 0
        for rows in offline.read_rows(self.path, schema, max_record_bytes=self.max_record_bytes):
            parts.append(rows.matrix)
            unusable += len(rows.problems)
            seen += rows.count
            progress(min(seen, self.records), self.records)
            if seen >= self.records:
                break
        invalid = {"unusable": unusable} if unusable else {}
        return Sample(np.concatenate(parts)[: self.records], schema, left_out, invalid, {"file": self.path.name})

    def documents(self) -> list[dict[str, Any]]:
        """Read the first records, to infer the features from. Raises DataError when there are none."""
        return offline.first_records(self.path)
