"""A sample of records, where it comes from, and a detector that learns from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from aestream.columns import Kind
from aestream.detector.detector import Detector
from aestream.detector.series import Naming
from aestream.features.roles import NO_ROLES, Roles
from aestream.features.schema import FeatureSchema
from aestream.inference import coverage
from aestream.inference.documents import Documents
from aestream.inference.infer import Inference
from aestream.networks.progress import Progress as Step
from aestream.types import Key, Matrix, Stamps, Vector


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid records in time order, as float64 (n, d), and how they were obtained.

    `invalid` counts the records that were skipped, by reason; `origin` goes into the manifest. `keys` (n,) are those of
    the records' entities, empty where they have none; `times` (n,) are in seconds, None where they are unknown or not
    needed. `timestamps` (n,) are those in Kafka; they are empty for a file, and where they tell no time. `roles` name
    the fields of keys and times. Each of the `warnings` is one line. `share`: of the entities, that the sample holds
    the records of; `remedy`: what would make it hold more records of each.
    """

    matrix: Matrix
    schema: FeatureSchema
    inference: Inference
    invalid: Mapping[str, int]
    origin: Mapping[str, Any]
    keys: Sequence[Key] = ()
    timestamps: Stamps = field(default_factory=lambda: np.empty(0, np.int64))
    warnings: Sequence[str] = ()
    times: Vector | None = None
    roles: Roles = NO_ROLES
    share: float = 1.0
    remedy: str = ""

    @property
    def numbers(self) -> Sequence[Vector]:
        """The numeric features, (n,) each."""
        return [self.matrix[:, at] for at, column in enumerate(self.schema.columns) if column.kind is Kind.NUMERIC]

    @property
    def covered(self) -> str:
        """The span of time that the records cover, in words; empty if it is not known."""
        times = self.inference.stamps if len(self.inference.stamps) else self.timestamps
        return coverage.in_words(times) if len(times) else ""


Progress = Callable[[int, int], None]  # (records decoded, records wanted)
Choose = Callable[[Documents], Inference]


class Sampler(Protocol):
    """Where records to learn from are read."""

    def sample(self, *, progress: Progress) -> Sample:
        """Read the records; `progress` is called as they arrive, and whatever it raises ends the reading.

        Raises DataError when there is nothing to learn from, TransportError when the records cannot be read.
        """
        ...


def fit(detector: Detector, sample: Sample, progress: Callable[[Step], None] | None = None) -> Detector:
    """Fit a detector on a sample, and return it. Raises what `Detector.fit_matrix` raises."""
    keys = None if set(sample.keys) <= {None} else sample.keys
    return detector.fit_matrix(
        sample.matrix,
        sample.schema,
        keys=keys,
        times=sample.times,
        naming=Naming(keys is not None, sample.times is not None, sample.roles.key or None, sample.roles.time),
        fields=sample.inference.notes,
        progress=progress,
    )
