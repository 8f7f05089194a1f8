"""VUS-PR (Paparrizos et al. 2022; as TSB-AD computes it, Liu and Paparrizos 2024): ranking with room for a delay.

Around each incident lie buffers, whose rows count in part: a detector that is a little early or late still earns
something. The measure is the area under the curve of precision and recall, mean over buffers of all lengths.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aestream.demo.incidents import Incident, from_labels
from tests.bench.quality.data import Labels, Rows

# TSB-AD's own values: thresholds tried; where the length of a season is looked for, and what is taken without one.
THRESHOLDS = 250
FIRST_LAG, LAST_LAG, FIRST_ROWS, NO_SEASON = 3, 400, 20_000, 125
LONGEST_SEASON = 300


def season(values: Rows) -> int:
    """Return the lag (rows) at which values (n,) are most like themselves: TSB-AD's longest buffer for a series."""
    centered = values[:FIRST_ROWS] - values[:FIRST_ROWS].mean()
    power = np.abs(np.fft.rfft(centered, 2 * len(centered))) ** 2
    alike = np.fft.irfft(power)[FIRST_LAG : min(LAST_LAG + 1, len(centered))]
    peaks = np.flatnonzero((alike[1:-1] > alike[:-2]) & (alike[1:-1] > alike[2:])) + 1
    if not len(peaks):
        return NO_SEASON
    best = int(peaks[np.argmax(alike[peaks])])
    return best + FIRST_LAG if FIRST_LAG <= best <= LONGEST_SEASON else NO_SEASON


def vus_pr(label: Labels, score: Rows, longest: int) -> float:
    """Return the volume under the surface of precision and recall; label and score are (n,), in time order.

    `longest` is the longest buffer in rows, the two sides of an incident together.
    """
    incidents = from_labels(label)
    asked = -np.sort(-score)[np.linspace(0, len(score) - 1, THRESHOLDS).astype(int)]  # falling
    first = np.searchsorted(-asked, -score)  # the first threshold that flags a row
    flagged = np.bincount(first, minlength=THRESHOLDS).cumsum()
    hits = np.bincount(first[label], minlength=THRESHOLDS).cumsum()
    sides = _sides(label, incidents, longest // 2)
    areas = []
    for length in range(longest + 1):
        weight = np.zeros(len(score))
        for rows, away in sides:
            near = away <= length // 2
            weight[rows[near]] += np.sqrt(1 - away[near] / max(length, 1))
        buffer = np.bincount(first, weights=np.minimum(weight, 1), minlength=THRESHOLDS).cumsum()
        recall = np.minimum((hits + buffer) / (label.sum() + buffer / 2), 1)
        precision = (hits + buffer) / flagged
        recall = recall * _share_found(first, incidents, length // 2)
        areas.append(np.sum(np.diff(recall, prepend=0.0) * precision))
    return float(np.mean(areas))


def _sides(label: Labels, incidents: Sequence[Incident], reach: int) -> list[tuple[NDArray[np.intp], Rows]]:
    """For each side of each incident: its unlabelled rows up to `reach` away, and how far away each is."""
    found = []
    for incident in incidents:
        before = np.arange(max(incident.start - reach, 0), incident.start)
        after = np.arange(incident.end + 1, min(incident.end + reach + 1, len(label)))
        for rows, edge in ((before[~label[before]], incident.start), (after[~label[after]], incident.end)):
            found.append((rows, np.abs(rows - edge).astype(np.float64)))
    return found


def _share_found(first: NDArray[np.intp], incidents: Sequence[Incident], reach: int) -> Rows:
    """The share of incidents with a flagged row, for each threshold; those whose buffers touch are one."""
    starts = [incidents[0].start - reach]
    stops = []
    for before, after in itertools.pairwise(incidents):
        if before.end + reach < after.start - reach:
            stops.append(before.end + reach + 1)
            starts.append(after.start - reach)
    stops.append(incidents[-1].end + reach + 1)
    earliest = [first[max(start, 0) : stop].min() for start, stop in zip(starts, stops, strict=True)]
    return np.bincount(earliest, minlength=THRESHOLDS).cumsum() / len(earliest)
