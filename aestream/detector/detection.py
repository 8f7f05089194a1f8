"""What the detector says about records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aestream.detector.attribution import Attribution
from aestream.types import Codes, Flags, Matrix, Places, Vector


class Wanted(NamedTuple):
    """What is asked for beside the score: explanations of the flagged records or of these (n,), and vectors of all."""

    explain: bool | Flags = False
    latent: bool = False
    reconstruction: bool = False


@dataclass(frozen=True, slots=True)
class Episodes:
    """The episode that each of n records belongs to, (n,) each; only where `Detection.phase` is not NONE.

    `number`: of its entity's episodes, from 1. `since`: when it began, in seconds, or as the number of the entity's
    record where there are no times. `worst`: its highest score so far. `share` (k, d): each feature's part in its
    anomalies so far, of the k records at `told`: those that are anomalies, or that close an episode.
    """

    number: NDArray[np.int64]
    since: Vector
    worst: Vector
    told: Places
    share: Matrix


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector says about n records, (n,) each; `score` = `error` / `threshold`, and above 1 is an anomaly.

    `threshold`: the error that was still normal for the record's entity then; `p_value`: the chance that a normal
    record has such a score. `latent` (n, k) and `reconstruction` (n, d), in the user's units, where asked for;
    `attribution` explains the `explained` records, the flagged ones, where asked for.

    `status`: codes of `Status`; records that are not `SCORED` are no anomalies. `level`: codes of `Level`, of the
    entity; `moved`: for how many of its records that level has lasted, 0 where it is the usual one. `phase`: codes of
    `Phase`. All of these are 0, and there are no `episodes`, where records are judged alone.
    """

    error: Vector
    score: Vector
    p_value: Vector
    anomaly: Flags
    threshold: Vector
    status: Codes
    level: Codes
    moved: NDArray[np.int64]
    phase: Codes
    episodes: Episodes | None = None
    latent: Matrix | None = None
    reconstruction: Matrix | None = None
    explained: Places | None = None
    attribution: Attribution | None = None
