"""The rows that came before: an entity's records in the order of time, as windows that end with each of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aestream import portions
from aestream.state import clocks
from aestream.state.arrivals import NEVER, Arrivals, Lines, arrive
from aestream.state.rates import Counters
from aestream.types import Flags, Matrix, Places, Status, Vector

BLOCK = 256  # entities whose rows are copied at once: so many fit into the cache


class Steps(NamedTuple):
    """A batch of n rows, each with the rows before it. Units are the user's; counters are increase per second."""

    rows: Matrix  # (r, d) what `windows` points to: remembered rows as well
    windows: Places  # (n, window) places in `rows`, newest last; a shorter run begins with its first row, repeated
    status: NDArray[np.uint8]  # (n,) codes of Status
    fresh: Flags  # (n,) whether a run of rows begins here: a new entity, or the first row after a gap
    when: Vector  # (n,) its time in seconds; of a row without a time, that of the row before
    order: Places  # (m,) rows of the batch that are not late, entity by entity, each in order of arrival


class Past:
    """Remembers the last rows of each entity.

    Args:
        features: the number of columns.
        window: how many rows of an entity are seen together.
        counters: the columns that are counters.

    A row is `warming` until its run has as many rows as the window. With counters it is also `warming` until the time
    of its entity has passed for the first time, for until then no rate is known. `late` rows, older than the latest
    of their entity, are seen with the rows that arrived before them, and are not remembered. Where they show that it
    was the latest time that was wrong (see `clocks`), what was remembered is forgotten, and a run begins anew.
    """

    def __init__(self, features: int, window: int, counters: Places) -> None:
        self.features = features
        self.window = window
        self.counters = counters
        self._counters = Counters(len(counters))

    @property
    def layout(self) -> list[tuple[Any, ...]]:
        """The fields of the structured type of what is remembered of an entity."""
        fields: list[tuple[Any, ...]] = [("last", "<f8"), ("count", "<i8"), *clocks.LAYOUT]
        if self.window > 1:
            fields.append(("rows", "<f8", (self.window - 1, self.features)))
        if len(self.counters):
            fields += [("first", "<f8"), ("counters", self._counters.layout)]
        return fields

    @property
    def blank(self) -> NDArray[np.void]:
        """What is remembered of an entity before its first row, shape ()."""
        blank = np.zeros((), dtype=self.layout)
        blank["last"] = NEVER
        if self.window > 1:
            blank["rows"] = np.nan
        if len(self.counters):
            blank["first"] = np.inf
            blank["counters"] = self._counters.blank
        return blank

    def is_new(self, values: NDArray[np.void]) -> Flags:
        """Of which entities (e,) no row has been remembered."""
        new: Flags = values["count"] == 0
        return new

    def follow(
        self, values: NDArray[np.void], longest: Vector, owner: Places, matrix: Matrix, times: Vector | None
    ) -> Steps:
        """See each row of a batch with the rows before it, and remember the last ones.

        `values` (e,) is what is remembered of e entities, and is brought up to date. `longest` (e,) is the longest
        interval of each, in seconds, that is no gap: a run of rows begins anew after a longer one. `owner` (n,) says
        which of them each row of `matrix` (n, d) belongs to. `matrix` has counters as they were read. `times` (n,) are
        seconds; NaN is a time that is not known, and then the row arrives right after the one before it. Without times
        each row is one second after the one before it.
        """
        if not len(matrix):
            nothing = np.empty(0, dtype=np.intp)
            none = np.empty(0, dtype=np.bool_)
            return Steps(matrix, nothing.reshape(0, self.window), none.astype(np.uint8), none, np.empty(0), nothing)
        arrivals = arrive(owner, times, values["last"])
        if times is not None:
            anew = clocks.take_back(values, arrivals, longest)
            if len(anew):
                return self._follow_anew(values, longest, arrivals, anew, matrix, times)
        return self._follow(values, longest, arrivals, matrix)

    def _follow_anew(
        self,
        values: NDArray[np.void],
        longest: Vector,
        arrivals: Arrivals,
        anew: Places,
        matrix: Matrix,
        times: Vector,
    ) -> Steps:
        """The same where entities forget what they remember at some rows, in the order of `arrivals`: as new ones."""
        number = np.zeros(len(matrix), np.intp)
        number[anew] = 1
        number = arrivals.who + np.cumsum(number)
        before = np.bincount(arrivals.who[anew], minlength=len(values))
        after = np.arange(len(values)) + np.cumsum(before)  # what each entity is at the end
        parts = np.full(len(values) + len(anew), self.blank)
        parts[after - before] = values
        owner = np.empty_like(number)
        owner[arrivals.rows] = number
        steps = self._follow(parts, np.repeat(longest, before + 1), arrive(owner, times, parts["last"]), matrix)
        behind = values[["behind", "behind_at"]].copy()
        values[:] = parts[after]
        values[["behind", "behind_at"]] = behind
        return steps

    def _follow(self, values: NDArray[np.void], longest: Vector, arrivals: Arrivals, matrix: Matrix) -> Steps:
        """The same for rows in their order."""
        fresh, run = arrivals.runs(values["count"], longest)
        warming = run < self.window - 1
        # without counters nothing is changed, and where nothing is remembered the rows are those of the batch
        new = not len(self.counters) and bool(self.is_new(values).all())
        sight = _Sight(arrivals, run, len(values), self.window, 0 if new else self.window - 1)
        rows = matrix if new else self._rows(values, matrix)
        windows = sight.windows()
        if len(self.counters):
            rates = self._counters.follow(values["counters"], arrivals, matrix[arrivals.rows[:, None], self.counters])
            rows[sight.own[:, None], self.counters] = rates
            known, first = _passed(values["first"], arrivals)
            warming |= ~known
            if self.window > 1 and len(first):
                # No rate is known of the rows before: from here on they are seen with the first rates that are known.
                copies = rows[windows[arrivals.rows[first], :-1]]
                copies[:, :, self.counters] = rates[first, None]
                rows = np.concatenate([rows, copies.reshape(-1, self.features)])
                windows = sight.replace(windows, first, known)
        self._remember(values, arrivals, run, rows, windows)
        status = np.where(arrivals.late, Status.LATE, np.where(warming, Status.WARMING, Status.SCORED))
        back = np.empty_like(arrivals.rows)
        back[arrivals.rows] = np.arange(len(back))
        order = arrivals.rows[~arrivals.late]
        when = np.where(arrivals.times > NEVER, arrivals.times, arrivals.latest)
        return Steps(rows, windows, status.astype(np.uint8)[back], fresh[back], when[back], order)

    def _rows(self, values: NDArray[np.void], matrix: Matrix) -> Matrix:
        """The remembered rows, entity by entity, then those of the batch."""
        if self.window == 1:
            return matrix.copy()
        remembered = (len(values), self.window - 1, self.features)
        rows = np.empty((remembered[0] * remembered[1] + len(matrix), self.features))
        rows[: -len(matrix)].reshape(remembered)[:] = values["rows"]
        rows[-len(matrix) :] = matrix
        return rows

    def _remember(
        self, values: NDArray[np.void], arrivals: Arrivals, run: Places, rows: Matrix, windows: Places
    ) -> None:
        """Bring what is remembered of each entity up to date with its last row that is not late."""
        present = np.flatnonzero(~arrivals.late)
        who = arrivals.who[present]
        tails = np.flatnonzero(np.diff(who, append=-1))
        last, who = present[tails], who[tails]
        values["last"][who] = arrivals.latest[last]
        values["count"][who] = np.minimum(run[last] + 1, self.window)
        if self.window > 1:
            for start in range(0, len(last), BLOCK):
                some = slice(start, start + BLOCK)
                values["rows"][who[some]] = rows.take(windows[arrivals.rows[last[some]], 1:], axis=0)


class _Sight:
    """Which rows each row is seen with: places in the remembered rows of e entities, followed by those of the batch.

    Of each entity `front` rows are remembered: those of a whole window, or none if none has any yet.
    """

    def __init__(self, arrivals: Arrivals, run: Places, entities: int, window: int, front: int) -> None:
        self._arrivals, self._run, self._entities = arrivals, run, entities
        self._ages = np.arange(window - 1, -1, -1)
        self._remembered = entities * front
        self._lines = Lines(arrivals, entities, front)
        self.own = self._remembered + arrivals.rows  # (n,)
        self._line = self._lines.join(np.arange(self._remembered), self.own)

    def windows(self) -> Places:
        """The windows of all rows, (n, window), in the order of the batch."""
        windows = np.empty((len(self.own), len(self._ages)), np.intp)
        for some in portions.rows(*windows.shape):
            windows[self._arrivals.rows[some]] = self._seen(some)
        return windows

    def _seen(self, chosen: Flags | slice) -> Places:
        """The windows of the chosen rows, in the order of arrivals."""
        if len(self._ages) == 1:
            return self.own[chosen, None]
        back = np.minimum(self._run[chosen, None], self._ages)
        windows = self._line.take(self._lines.at[chosen, None] - back, mode="clip")
        windows[:, -1] = self.own[chosen]  # a late row has no place of its own on the line
        return windows

    def replace(self, windows: Places, first: Places, known: Flags) -> Places:
        """Let the rows from `first` on, one of an entity, see copies of the rows before: those behind the batch."""
        ages = self._ages[:-1]
        behind = self._remembered + len(known) + np.arange(len(first) * len(ages))
        self._line[self._lines.at[first, None] - ages] = behind.reshape(len(first), -1)
        after = np.zeros(self._entities, dtype=np.bool_)
        after[self._arrivals.who[first]] = True
        chosen = known & after[self._arrivals.who]
        windows[self._arrivals.rows[chosen]] = self._seen(chosen)
        return windows


def _passed(first: Vector, arrivals: Arrivals) -> tuple[Flags, Places]:
    """Whether the time of its entity has passed at each row, (n,), and the rows where it has for the first time.

    `first` (e,) is the first time that is known of each entity, or infinity, and is brought up to date.
    """
    heads = np.flatnonzero(arrivals.heads)
    who = arrivals.who[heads]
    known = np.where(arrivals.latest > NEVER, arrivals.latest, np.inf)
    first[who] = np.minimum(first[who], np.minimum.reduceat(known, heads))
    start = first[arrivals.who]
    passed = arrivals.latest > start
    return passed, np.flatnonzero(passed & (arrivals.before <= start))
