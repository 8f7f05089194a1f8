"""Which entity each record of a topic is of, and when it was recorded: by its fields, or else by its message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aestream.codecs.base import Decoded
from aestream.errors import DataError
from aestream.features.roles import Marks, Roles
from aestream.transport import clocks
from aestream.types import Vector

# What lies in the future is taken as it is: the same records mean the same whenever they are read.
_ANY = 2**62


def marks_of(decoded: Decoded, roles: Roles, stamps: Vector) -> Marks:
    """The keys and the times, in seconds, of the valid records, (m,) each: training, backtest and worker read alike.

    Without fields for them, they are the key of the message, as text, and its timestamp, `stamps` (m,) as `moments_of`
    reads them. A time that cannot be read is that of the message as well. Raises DataError when no record has a label
    that can be read.
    """
    try:
        marks = roles.of_columns(decoded.asides)
    except DataError:  # perhaps not one of the times can be read
        marks = replace(roles, time=None).of_columns(decoded.asides)
    keys = keys_of(decoded.keys) if marks.keys is None else marks.keys
    times = stamps if marks.times is None else np.where(np.isnan(marks.times), stamps, marks.times)
    return Marks(keys, times, marks.labels)


def moments_of(decoded: Decoded) -> Vector:
    """The times of the messages of the valid records, (m,), in seconds since 1970; NaN where they have none."""
    stamps, known = clocks.milliseconds(decoded.timestamps, now=_ANY)
    return np.where(known, stamps / 1000, np.nan)


def keys_of(keys: Sequence[bytes | None]) -> Sequence[str | None]:
    """The entities of messages with these keys (m,), where no field tells them: the keys as text."""
    return [None if key is None else key.decode(errors="backslashreplace") for key in keys]
