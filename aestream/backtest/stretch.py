"""The stretch of the past that is judged: the records of a file or of a topic, in the order that a worker sees."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from aestream.codecs.base import Decoder
from aestream.features.roles import Roles
from aestream.files.rows import Rows
from aestream.transport import clocks
from aestream.transport.base import History
from aestream.types import Key


def of_topic(history: History, decoder: Decoder, roles: Roles, *, records: int, period: float | None) -> Iterator[Rows]:
    """The newest records of topics, partition by partition, a batch at a time.

    The decoder reads the fields of the `roles` beside the features. Keys and times are those of the records in Kafka
    where there are no such fields. Raises TransportError when a topic cannot be read.
    """
    now = int(time.time() * 1000)
    for batch in history.read(records=records, period=period):
        decoded = decoder.decode(batch.values, batch.keys, batch.timestamps)
        marks = roles.of_columns(decoded.asides)
        if marks.times is None:
            stamps, known = clocks.milliseconds(decoded.timestamps, now=now)
            marks = replace(marks, times=np.where(known, stamps / 1000, np.nan))
        if marks.keys is None:
            called = {key: _text(key) for key in set(decoded.keys)}
            marks = replace(marks, keys=list(map(called.__getitem__, decoded.keys)))
        problems = [(problem.row, problem.message) for problem in decoded.invalid]
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


def _text(key: bytes | None) -> Key:
    """A record's key as text where it is text."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return key
