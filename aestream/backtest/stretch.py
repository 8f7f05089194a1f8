"""The stretch of the past that is judged: the records of a file or of a topic, in the order that a worker sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aestream.codecs.base import Decoder
from aestream.codecs.marks import marks_of, moments_of
from aestream.features.roles import Roles
from aestream.files.rows import Rows
from aestream.transport.base import History


def of_topic(history: History, decoder: Decoder, roles: Roles, *, records: int, period: float | None) -> Iterator[Rows]:
    """The newest records of topics, partition by partition, a batch at a time.

    The decoder reads the fields of the `roles` beside the features. Keys and times are those of the records in Kafka
    where there are no such fields. Raises TransportError when a topic cannot be read.
    """
    for batch in history.read(records=records, period=period):
        decoded = decoder.decode(batch.values, batch.keys, batch.timestamps)
        problems = [(problem.row, problem.message) for problem in decoded.invalid]
        marks = marks_of(decoded, roles, moments_of(decoded))
        yield Rows(len(batch), decoded.matrix, decoded.rows, problems, marks)


def after(chunks: Iterator[Rows], count: int) -> Iterator[Rows]:
    """The records after the first `count` ones of a file."""
    for rows in chunks:
        if count < rows.count:
            kept = rows.places >= count
            problems = [(place, problem) for place, problem in rows.problems if place >= count]
            yield replace(rows.at(np.flatnonzero(kept)), problems=problems)
        count -= rows.count


def between(chunks: Iterator[Rows], start: float, end: float) -> Iterator[Rows]:
    """The records whose time, in seconds, is at least `start` and before `end`.

    The time of an unusable record is not known: it counts where others of its chunk do.
    """
    for rows in chunks:
        kept = rows.between(start, end)
        if len(kept.matrix):
            yield kept
