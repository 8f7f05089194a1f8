"""Judging records one at a time: the error of each row, and which of its inputs are off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from aestream.detector.horizons import over_horizons
from aestream.detector.neighbours import Memory
from aestream.detector.network import CHUNK, Look, Network
from aestream.detector.residuals import ResidualScore
from aestream.detector.scales import Scales
from aestream.networks.base import TrainedNetwork
from aestream.types import Arrays, Flags, Floats, Matrix, Places, Vector

# A feature that is so many of its usual spreads from what was expected is not asked what to expect of the others,
# unless its square is less than this share of the largest: then it may only be drawn along. Three sigma; both by the
# HitRate of `tests.bench.quality --parts series`.
CLEARLY_OFF, DRAWN_ALONG = 3.0, 0.1


@dataclass(frozen=True, slots=True)
class Frame:
    """What there is to judge: n records, among the rows that are needed to judge them.

    `matrix` (r, d): rows of the network's features; `inputs` (r, w): the same as the network sees them. `windows`
    (n, L): the places in them of each record's window, newest last; None where the rows are the records, and each is
    judged alone. `who` (n,): the number of each record's entity, 0 for one without its own. `context` (n, c): inputs
    that say when it was. `steady` (r, c): the parts of c constants in the square of each row's strength; None: 0.
    `scales` moved the rows of each entity into the frame.
    """

    matrix: Matrix
    inputs: Floats
    windows: Places | None = None
    who: Places | None = None
    context: Matrix | None = None
    steady: Matrix | None = None
    scales: Scales | None = None

    def at(self, chosen: Places) -> Frame:
        """Only some of the records."""
        if self.windows is None:
            steady = None if self.steady is None else self.steady[chosen]
            return Frame(self.matrix[chosen], self.inputs[chosen], steady=steady)
        return replace(
            self,
            windows=self.windows[chosen],
            who=None if self.who is None else self.who[chosen],
            context=None if self.context is None else self.context[chosen],
        )

    @property
    def newest(self) -> tuple[Matrix, Floats]:
        """The records themselves, (n, d') and (n, w)."""
        if self.windows is None:
            return self.matrix, self.inputs
        last = self.windows[:, -1]
        return self.matrix[last], self.inputs[last]

    def moved(self, constants: int) -> Matrix:
        """The parts of so many constants in the square of each record's strength, (n, c).

        In a window a move counts in its own row as much as in a record alone, and over the horizons like other
        deviations in the rows after it.
        """
        count = len(self.matrix if self.windows is None else self.windows)
        if self.steady is None:
            return np.zeros((count, constants))
        if self.windows is None:
            return self.steady
        moved = np.zeros((count, constants))
        some = np.flatnonzero((self.steady.sum(axis=1) > 0)[self.windows].any(axis=1))
        squares = self.steady[self.windows[some]]  # (s, L, c)
        moved[some] = np.maximum(squares[:, -1], np.square(over_horizons(squares)))
        return moved


@dataclass(frozen=True, slots=True)
class Blame:
    """What is off in m rows of w inputs: `squares` of the deviations in usual spreads, and what was `expected`, (m, w).

    `counts` (m,): whether anything in the row deviates in a way that counts. `since` (m, w): for how many records of
    the entity each input has been off without a break, at least 1; None where records are judged alone.
    """

    squares: Matrix
    expected: Matrix
    counts: Flags
    since: Matrix | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the network makes of n rows: `error` (n,); `latent` (n, k) and `rebuilt` (n, w), where asked for."""

    error: Vector
    latent: Matrix | None = None
    rebuilt: Matrix | None = None


class Judge(Protocol):
    """Judges records, alone or with those before them."""

    @property
    def model(self) -> TrainedNetwork:
        """The network."""

    def judge(self, frame: Frame, *, latent: bool = False, rebuilt: bool = False) -> Judged:
        """Judge the records of a frame."""

    def blame(self, frame: Frame) -> Blame:
        """Explain the records of a frame."""

    def arrays(self) -> Mapping[str, Arrays]:
        """Return the numbers that a model directory keeps, by part, but for the network's."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The network, the score of its residuals, and the training rows that it is seconded by."""

    network: Network
    scorer: ResidualScore
    memory: Memory | None

    @property
    def model(self) -> TrainedNetwork:
        """The network."""
        return self.network.model

    def judge(self, frame: Frame, *, latent: bool = False, rebuilt: bool = False) -> Judged:
        """Judge the records of a frame."""
        matrix, inputs = frame.newest
        count, width = inputs.shape
        error, any_counts, counting = np.empty(count), np.empty(count, bool), np.empty_like(inputs)
        judged = Judged(
            error,
            np.empty((count, self.network.model.latent_size)) if latent else None,
            np.empty((count, width)) if rebuilt else None,
        )
        for start in range(0, count, CHUNK):
            place = slice(start, start + CHUNK)
            look = self.network.look(matrix[place], inputs[place])
            error[place] = self.scorer.error(look.residuals)
            counting[place], any_counts[place] = look.counting_inputs, look.any_counts()
            if judged.latent is not None:
                judged.latent[place] = look.latent[0]
            if judged.rebuilt is not None:
                judged.rebuilt[place] = look.expected
        if self.memory is not None:  # after the network, not in turns with it: each fills the core's cache
            error = self.memory.join(error, counting)
        return replace(judged, error=error * any_counts)

    def blame(self, frame: Frame) -> Blame:
        """Explain the records of a frame: an input is as far off as to the member that can make the most of it."""
        matrix, inputs = frame.newest
        shape = inputs.shape
        blame = Blame(np.empty(shape), np.empty(shape), np.empty(shape[0], bool))
        for start in range(0, shape[0], CHUNK):
            place = slice(start, start + CHUNK)
            look = self._look_past_the_clear(matrix[place], inputs[place])
            blame.expected[place] = look.expected
            blame.squares[place] = self.scorer.squares(look.residuals).min(axis=0)
            blame.counts[place] = look.any_counts()
        return blame

    def arrays(self) -> Mapping[str, Arrays]:
        """Return the numbers that a model directory keeps, by part, but for the network's."""
        return {
            "bounds": self.network.bounds.arrays(),
            "scorer": self.scorer.arrays(),
            "memory": {} if self.memory is None else self.memory.arrays(),
        }

    def _look_past_the_clear(self, matrix: Matrix, inputs: Floats) -> Look:
        """Look at rows, (B, d) and (B, w), and once more without what is clearly off.

        A feature that is clearly off draws along what is expected of the others, which would share its blame. It is
        taken for what the members expect of it on the whole, and the network is asked once more.
        """
        look = self.network.look(matrix, inputs)
        squares = self.scorer.squares(look.residuals).mean(axis=0)
        return self.network.look_past(clearly_off(squares), look, matrix)


def clearly_off(squares: Floats) -> Flags:
    """Which inputs are far off, and not perhaps drawn along, by their squared deviations (B, w): a mask (B, w)."""
    off: Flags = (squares > CLEARLY_OFF**2) & (squares > DRAWN_ALONG * squares.max(axis=1, keepdims=True))
    return off
