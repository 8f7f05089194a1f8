"""Judging records with those before them: the error of each window, and which of its inputs are off, and since when.

A window is the last L rows of an entity, one after another. A value that is normal at any moment may be abnormal after
the ones before it, and what is off a little for a few records in a row is off more than any of them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from aestream.detector.deviations import Deviations, EveryDeviation
from aestream.detector.horizons import over_horizons
from aestream.detector.merged import Merged
from aestream.detector.network import Look, Network
from aestream.detector.residuals import TINY, LatentBounds
from aestream.detector.rows import CLEARLY_OFF, Blame, Frame, Judged, clearly_off
from aestream.detector.scales import Scales
from aestream.networks.base import TrainedNetwork
from aestream.networks.dense import TrainedDense
from aestream.types import Arrays, Floats, Matrix, Places

# Windows looked at together: what fits into a core's cache.
CHUNK = 512


@dataclass(frozen=True, slots=True)
class Part:
    """B windows of a frame: `matrix` (B L, d) and `inputs` (B, L w), `who` (B,), and `context` (B, c), c may be 0."""

    matrix: Matrix
    inputs: Floats
    who: Places
    context: Floats
    scales: Scales | None = None

    @classmethod
    def of(cls, frame: Frame, chosen: Places | slice, *, with_matrix: bool) -> Self:
        """Gather some records' windows. Raises ValueError when the frame has none."""
        if frame.windows is None:
            raise ValueError("the frame has no windows")
        windows = frame.windows[chosen]
        who = np.zeros(len(windows), np.intp) if frame.who is None else frame.who[chosen]
        context = np.empty((len(windows), 0)) if frame.context is None else frame.context[chosen]
        return cls(
            frame.matrix[windows.ravel()] if with_matrix else frame.matrix[:0],
            frame.inputs[windows].reshape(len(windows), windows.shape[1] * frame.inputs.shape[1]),
            who,
            context.astype(np.float32),
            frame.scales,
        )

    def back(self, matrix: Matrix) -> Matrix:
        """Rows in the frame (B L, d) as the entity of each window has them."""
        if self.scales is None:
            return matrix
        return self.scales.back(matrix, np.repeat(self.who, len(matrix) // max(len(self.who), 1)))

    def asked(self, inputs: Floats) -> Floats:
        """The network's inputs for these windows, (B, L w) -> (B, L w + c)."""
        return np.concatenate([inputs, self.context], axis=1) if self.context.shape[1] else inputs


@dataclass(frozen=True, slots=True)
class WindowScore:
    """How far the inputs of a window are from what is expected of them, over several horizons.

    `spread`, `jumps` (E + 1, w): the usual size of the residuals of each entity, and how much larger it counts where
    they now and then jump; the first row is for entities without their own. `weights` (w,): what each input counts, 1
    in all.
    """

    spread: Floats
    jumps: Floats
    weights: Floats
    precision: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out what the squares of residuals are multiplied by."""
        object.__setattr__(self, "precision", self.weights / np.square(self.spread * self.jumps))

    def error(self, residual: Floats, who: Places) -> Matrix:
        """The error of each window, from what is left of it (..., B, L w) and entity numbers (B,) -> (..., B).

        Of each input the root mean square over the newest h rows is averaged over the horizons; the error is the root
        mean square of that over the inputs, each in its usual size.
        """
        sizes = self._over_horizons(residual)
        squares = np.square(sizes, out=sizes)
        if len(self.precision) == 1:
            total = squares @ self.precision[0]
        else:
            total = np.einsum("...w,...w->...", squares, self.precision[who])
        error: Matrix = np.sqrt(total.astype(np.float64))
        return np.maximum(error, TINY, out=error)

    def squares(self, residual: Floats, who: Places) -> tuple[Floats, Floats]:
        """How far each input is off, squared, from (B, L w): over the window (B, w), and in each row (B, L, w).

        In its usual spreads, and not measured by its jumps: that tells records apart better, and features worse. Over
        the window an input counts by its weight.
        """
        spread = self.spread[who]
        over = self._over_horizons(residual) / spread
        over *= np.sqrt(self.weights * len(self.weights))
        by_row = residual.reshape(len(residual), -1, spread.shape[1]) / spread[:, None]
        return np.square(over, out=over), np.square(by_row, out=by_row)

    def _over_horizons(self, residual: Floats) -> Floats:
        """The mean over the horizons of the root mean square over the newest rows, (..., B, L w) -> (..., B, w)."""
        return over_horizons(np.square(residual).reshape(*residual.shape[:-1], -1, len(self.weights)))

    def arrays(self) -> Arrays:
        """Return what `from_arrays` reads."""
        return {name: getattr(self, name) for name in ("spread", "jumps", "weights")}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `arrays` returned."""
        return cls(*(arrays[name] for name in ("spread", "jumps", "weights")))


@dataclass(frozen=True, slots=True)
class Windows:
    """The network over windows, and the score of what it leaves of them."""

    network: Network
    scorer: WindowScore
    merged: Merged = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Merge the members. Raises ValueError when the network is none over windows."""
        model = self.network.model
        if not isinstance(model, TrainedDense):
            raise ValueError(f"a model of kind {model.kind!r} cannot judge windows")  # noqa: TRY004 - damaged files
        object.__setattr__(self, "merged", Merged(model, self.network.bounds))

    @property
    def rows(self) -> int:
        """How many rows a window has."""
        return self.network.model.rows

    def judge(self, frame: Frame, *, latent: bool = False, rebuilt: bool = False) -> Judged:
        """Judge the records of a frame. `latent` is the first member's, of the window; `rebuilt` the newest row's."""
        count, width = len(frame.windows if frame.windows is not None else ()), frame.inputs.shape[1]
        error = np.empty(count)
        codes = np.empty((count, self.network.model.latent_size)) if latent else None
        expected = np.empty((count, width)) if rebuilt else None
        for start in range(0, count, CHUNK):
            place = slice(start, start + CHUNK)
            part = self.part(frame, place)
            look = self.look(part)
            error[place] = self.scorer.error(look.residuals[0], part.who) * look.any_counts()
            if codes is not None:
                codes[place] = self.merged.latent(part.asked(look.inputs))[:, 0]
            if expected is not None:
                expected[place] = look.rebuilt[0, :, -width:]
        return Judged(error, codes, expected)

    @property
    def model(self) -> TrainedNetwork:
        """The network."""
        return self.network.model

    def arrays(self) -> Mapping[str, Arrays]:
        """Return the numbers that a model directory keeps, by part, but for the network's."""
        return {"bounds": self.network.bounds.arrays(), "scorer": self.scorer.arrays()}

    @classmethod
    def from_arrays(
        cls, model: TrainedNetwork, part: Callable[[str], Arrays], deviations: Deviations | EveryDeviation
    ) -> Self:
        """Read what `arrays` returned; `part` gives the arrays of a part. Raises ValueError for another network."""
        network = Network(model, LatentBounds.from_arrays(part("bounds")), deviations)
        return cls(network, WindowScore.from_arrays(part("scorer")))

    def part(self, frame: Frame, chosen: Places | slice) -> Part:
        """Gather some records' windows; in the user's units only where that decides what counts."""
        return Part.of(frame, chosen, with_matrix=not isinstance(self.network.deviations, EveryDeviation))

    def blame(self, frame: Frame) -> Blame:
        """Explain the records of a frame: how far each input is off over its window, and for how many rows it has been.

        By rows is meant by rows of the window: what has been off for all of them may have been for longer.

        An input that is clearly off draws along what is expected of the others, which would share its blame. It is
        taken for what is expected, and the network is asked once more.
        """
        count, width = len(frame.windows if frame.windows is not None else ()), frame.inputs.shape[1]
        shape = (count, width)
        blame = Blame(np.empty(shape), np.empty(shape), np.empty(count, bool), np.empty(shape))
        for start in range(0, count, CHUNK):
            place = slice(start, start + CHUNK)
            part = self.part(frame, place)
            look = self.look(part)
            by_row = self.scorer.squares(look.residuals[0], part.who)[1]
            off = clearly_off(by_row.reshape(look.inputs.shape))
            rebuilt = self._rebuild(part, look.without(off | ~look.counts))
            counts = self.network.deviations.told_in(part.back).still(look.counts, part.matrix, rebuilt)
            look = replace(look, rebuilt=rebuilt, counts=counts)
            blame.squares[place], by_row = self.scorer.squares(look.residuals[0], part.who)
            blame.expected[place] = rebuilt[0, :, -width:]
            blame.counts[place] = look.any_counts()
            if blame.since is not None:
                still = np.logical_and.accumulate(by_row[:, ::-1] > CLEARLY_OFF**2, axis=1)
                blame.since[place] = np.maximum(still.sum(axis=1), 1)
        return blame

    def look(self, part: Part) -> Look:
        """Look at windows: without what does not count."""
        inputs = part.inputs
        rebuilt = self._rebuild(part, inputs)
        rebuilt, counts = self.network.deviations.told_in(part.back).settle(
            lambda rows: self._rebuild(part, rows), part.matrix, inputs, rebuilt
        )
        return Look(inputs, np.empty(0, np.float32), rebuilt, counts)

    def _rebuild(self, part: Part, inputs: Floats) -> Floats:
        """What the members expect on the whole, (B, L w) -> (1, B, L w)."""
        return self.merged(part.asked(inputs))[None]
