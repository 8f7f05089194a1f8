"""How the records of a training sample follow each other: which entity, in which order, how many of them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from aestream.detector.options import Options
from aestream.detector.series import Naming
from aestream.errors import DataError
from aestream.features.clock import Clock
from aestream.features.schema import FeatureSchema
from aestream.inference.intervals import longest_intervals
from aestream.inference.order import Order, filled
from aestream.inference.rhythm import Rhythm, choose_clock
from aestream.inference.windows import choose_window
from aestream.state.past import Past
from aestream.types import Key, Matrix, Places, Vector


@dataclass(frozen=True, slots=True)
class Course:
    """The n records of a sample, in the order of time, and how they follow each other.

    `matrix` (n, d) in the user's units, with counters as they were read. `entities` are the keys, and `owner` (n,) says
    which of them a record belongs to; `times` (n,) are in seconds, None if they have none; `naming` says where keys and
    times were found. `window` records of an entity are seen together; `longest` (e + 1,) is the longest interval, in
    seconds, that is no gap: in general, then of each of `entities`. `clock`: what a window sees of the time.
    `decisions` tell what was decided, and why, one sentence each.
    """

    matrix: Matrix
    entities: Sequence[Key]
    owner: Places
    times: Vector | None
    naming: Naming
    window: int
    longest: Vector
    clock: Clock
    decisions: Sequence[str]


def chart(
    matrix: Matrix,
    schema: FeatureSchema,
    options: Options,
    keys: Sequence[Key] | None,
    times: Vector | None,
    naming: Naming,
) -> Course:
    """Find out how (n, d) rows follow each other; `keys` (n,) and `times` (n,), in seconds, are those of the rows.

    Raises DataError when all times are unknown, or the same.
    """
    named = [None] * len(matrix) if keys is None else keys
    if times is not None:
        known = times[np.isfinite(times)]
        if len(times) > 1 and (not len(known) or np.ptp(known) == 0):
            raise DataError("the times of the records are all unknown, or the same: learn without them")
        moments = filled(times, -np.inf)
        if (moments[1:] < moments[:-1]).any():
            in_time = np.argsort(moments, kind="stable")
            matrix, times, named = matrix[in_time], times[in_time], [named[row] for row in in_time.tolist()]
    numbering: defaultdict[Key, int] = defaultdict(count().__next__)
    owner = np.fromiter(map(numbering.__getitem__, named), np.intp, len(matrix))
    order = Order.of(owner if len(numbering) > 1 else None, times)
    longest = longest_intervals(order, options.max_gap)
    alone = Past(len(schema), 1, schema.counters)
    values = alone.follow(np.full(len(numbering), alone.blank), longest[1:], owner, matrix, times).rows
    told = []
    if isinstance(options.window, int):
        window = options.window
    else:
        chosen = choose_window(values, order, longest[1:])
        window = chosen.rows
        together = f"{window} records of an entity are judged together" if window > 1 else "each record is judged alone"
        told.append(f"{together}: {chosen.why}")
    if np.isfinite(longest[0]) and (window > 1 or len(schema.counters)):
        told.append(_gaps(longest))
    rhythm = Rhythm(Clock(), "not used, as each record is judged alone")
    if window > 1:
        rhythm = choose_clock(values, owner, times, options.clock, options.holidays)
    if times is not None:
        told.append(f"time of day and weekday: {rhythm.why}")
    return Course(matrix, list(numbering), owner, times, naming, window, longest, rhythm.clock, told)


def _gaps(longest: Vector) -> str:
    """The sentence about the longest intervals, in seconds, that are no gaps."""
    least, most = (f"{float(f'{seconds:.4g}'):,.12g}" for seconds in (longest.min(), longest.max()))
    if least == most:
        return f"an entity begins anew after more than {most} s without a record"
    return f"an entity begins anew after more than {least} to {most} s without a record, by how often its records come"
