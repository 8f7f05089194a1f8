"""How many entities a sample holds, and how well: what a person should know before trusting the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.detector.detector import Detector
from aestream.inference.judgement import percent
from aestream.inference.windows import ROWS
from aestream.sampling.sample import Sample


@dataclass(frozen=True, slots=True)
class Held:
    """The entities of a sample.

    `median` and `least`: how many records there are of one. `own`: how many entities have a scaling and a threshold of
    their own; the others share one. `short`: how many have fewer than `window` records. `share`: of the topic's
    entities, that the sample holds. `remedy`: what would make it hold more records of each.
    """

    entities: int
    median: int
    least: int
    own: int
    short: int
    window: int
    share: float
    remedy: str

    @classmethod
    def of(cls, sample: Sample, detector: Detector) -> Self | None:
        """Count them, with a detector that has learnt from them. None where nothing tells several entities apart."""
        counts = np.fromiter(Counter(sample.keys).values(), np.int64)
        if len(counts) < 2:  # noqa: PLR2004 - several
            return None
        window = detector.window if detector.window > 1 else ROWS
        return cls(
            len(counts),
            int(np.median(counts)),
            int(counts.min()),
            detector.own_entities,
            int(np.count_nonzero(counts < window)),
            window,
            sample.share,
            sample.remedy,
        )

    def __str__(self) -> str:
        some = f", about {percent(self.share, 1)} of all" if self.share < 1 else ""
        return (
            f"{self.entities:,} entities{some} (records of each: {self.median:,} in the median, at least "
            f"{self.least:,}), {self.own:,} of them with a scaling and a threshold of their own"
        )

    @property
    def warnings(self) -> list[str]:
        """One line if most of the entities have too few records."""
        if 2 * self.short <= self.entities:
            return []
        few = f"{self.short:,} of the {self.entities:,} entities in the sample have fewer than {self.window} records"
        return [f"{few}, too few for a window: {self.remedy}"]
