"""One judgement of a batch: each row alone, or with what is remembered of its entity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aestream.detector.attribution import shares
from aestream.detector.detection import Detection, Episodes, Wanted
from aestream.detector.fitted import Fitted
from aestream.detector.series import Series, logs_of
from aestream.errors import DataError
from aestream.state.episodes import Told
from aestream.state.store import Taken
from aestream.types import Codes, Flags, Key, Matrix, Places, Status, Vector


def alone(fitted: Fitted, matrix: Matrix, wanted: Wanted) -> Detection:
    """Judge (n, d) rows one at a time."""
    frame, threshold, explain = fitted.alone(matrix), fitted.threshold.value, wanted.explain
    found = fitted.judged(frame, threshold, latent=wanted.latent, reconstruction=wanted.reconstruction)
    score = found.error / threshold
    anomaly = score > 1.0
    explained = None if explain is False else np.flatnonzero(anomaly if explain is True else _asked(explain, anomaly))
    none = np.zeros(len(matrix), np.uint8)
    return Detection(
        error=found.error,
        score=score,
        p_value=fitted.threshold.p_value(found.error),
        anomaly=anomaly,
        threshold=np.full(len(matrix), threshold),
        status=none,
        level=none,
        moved=np.zeros(len(matrix), np.int64),
        phase=none,
        latent=found.latent,
        reconstruction=found.rebuilt,
        explained=explained,
        attribution=None if explained is None else fitted.explained(frame.at(explained), matrix[explained]),
    )


def follow(
    fitted: Fitted,
    series: Series,
    taken: Taken,
    matrix: Matrix,
    keys: Sequence[Key],
    times: Vector | None,
    wanted: Wanted,
) -> Detection:
    """Judge (n, d) rows with what was taken of their entities, and bring that up to date."""
    values, owner, explain = taken.values, taken.owner, wanted.explain
    known = series.places_of([keys[row] for row in taken.first.tolist()])
    numbers = series.numbers[known]
    series.begin(values, numbers)
    steps = series.parts.past.follow(values["past"], series.longest[known], owner, matrix, times)
    frame, observed = fitted.among(steps, numbers[owner], times)
    threshold = series.thresholds[numbers[owner]]
    found = fitted.judged(frame, threshold, latent=wanted.latent, reconstruction=wanted.reconstruction)

    scored = steps.order[steps.status[steps.order] == Status.SCORED]
    alarms = series.parts.alarms.step(
        values["alarms"], series.usual[numbers], owner[scored], logs_of(found.error[scored])
    )
    if fitted.options.adaptation != "off":
        threshold[scored] = np.exp(alarms.threshold)
    score = found.error / threshold
    anomaly = np.zeros(len(matrix), bool)
    anomaly[scored] = score[scored] > 1.0
    level, moved = np.zeros(len(matrix), np.uint8), np.zeros(len(matrix), np.int64)
    level[scored], moved[scored] = alarms.level, alarms.since
    flagged = steps.order[anomaly[steps.order]]
    explained = np.sort(flagged)
    if not isinstance(explain, bool):
        explained = np.union1d(flagged, np.flatnonzero(_asked(explain, anomaly)))
    attribution = fitted.explained(frame.at(explained), observed[explained])
    squares = np.square(attribution.deviation[np.searchsorted(explained, flagged)])
    told = series.parts.episodes.step(
        values["episodes"],
        owner[steps.order],
        steps.fresh[steps.order],
        steps.when[steps.order],
        score[steps.order],
        anomaly[steps.order],
        squares,
    )
    phase, episodes = _in_order(told, steps.order, len(matrix))
    return Detection(
        error=found.error,
        score=score,
        p_value=fitted.threshold.p_value(score * fitted.threshold.value),
        anomaly=anomaly,
        threshold=threshold,
        status=steps.status,
        level=level,
        moved=moved,
        phase=phase,
        episodes=episodes,
        latent=found.latent,
        reconstruction=found.rebuilt,
        explained=explained if explain is not False else None,
        attribution=attribution if explain is not False else None,
    )


def _asked(explain: Any, anomaly: Flags) -> Flags:
    """Which records are to be explained, (n,). Raises DataError when that is not said of each of them."""
    asked = np.asarray(explain)
    if asked.dtype != np.bool_ or asked.shape != anomaly.shape:
        raise DataError(f"`explain` is neither a bool nor (n,) of these: give one for each of the {len(anomaly)} rows")
    return asked


def _in_order(told: Told, order: Places, count: int) -> tuple[Codes, Episodes]:
    """What was told of the rows at `order` (m,), for all rows of the batch, (count,)."""
    rows = order[told.told]
    in_order = np.argsort(rows)
    phase, number = np.zeros(count, np.uint8), np.zeros(count, np.int64)
    since, worst = np.zeros(count), np.zeros(count)
    phase[order], number[order], since[order], worst[order] = told.phase, told.number, told.since, told.worst
    return phase, Episodes(number, since, worst, rows[in_order], shares(told.deviations)[in_order])
