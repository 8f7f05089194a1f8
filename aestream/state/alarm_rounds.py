"""The rule of `alarm_rule.py` for one row of each of many entities, to the bit the same."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aestream.state import alarm_rule as rule
from aestream.state.alarm_rule import DUE, Steps
from aestream.types import Flags, Level, Places, Vector

Columns: TypeAlias = dict[str, NDArray[Any]]  # (e,) by name


def judge_round(steps: Steps, usual: Columns, state: Columns, logs: Vector) -> Vector:
    """Return the log thresholds for one row of each entity with these log errors (e,), and learn from the rows."""
    unit, step = steps.follows * usual["spread"], steps.follows * usual["step"]
    state["hot"] *= 1 - steps.rate / DUE
    if steps.rare:
        _shorten(steps, usual, state, unit)
    edge = state["bulk"] + state["margin"]
    threshold = edge + state["distance"]
    hot = logs > edge
    state["quiet"] += 1
    margin = state["margin"]
    ease = np.maximum(1 - state["hot"] / DUE, 0.0) * np.where(margin > usual["margin"], steps.back, 1.0)
    least, former = steps.least * usual["margin"], state["former_threshold"]
    least = np.where(former < state["bulk"] + least, former - state["bulk"], least)
    narrower = np.maximum(margin - rule.RAISE * steps.rate * step * ease, least)
    state["margin"][:] = np.where(hot, margin, narrower)
    middle = state["middle"]
    sign = np.where(logs > middle, 1, 0) - np.where(logs < middle, 1, 0)
    state["middle"][:] = np.where(hot, middle, middle + rule.MIDDLE_STEP * unit * sign)
    state["streak"][:] = np.where(hot, state["streak"], 0)
    places = np.flatnonzero(hot)
    if len(places):
        known = {name: column[places] for name, column in usual.items()}
        _heat(steps, known, state, places, logs[places], logs[places] > threshold[places])
    state["since"] += state["since"] > 0
    rising = places[state["streak"][places] == rule.LEVEL_ROWS]
    if len(rising):
        _rise(steps, state, rising, edge[rising])
    state["below"][:] = np.where(logs < state["former_threshold"], state["below"] + 1, 0)
    state["above"] += ((logs > usual["threshold"]) - state["above"]) / rule.MEMORY
    returning = np.flatnonzero(state["below"] >= rule.RETURN)
    if len(returning):
        _return(state, returning)
    kept = np.isnan(state["former_threshold"])
    soonest = np.where(state["above"] > rule.MOVED, np.maximum(state["since"], rule.SOONEST_MOVED), 0)
    np.copyto(state["since"], soonest, where=kept)
    return threshold


def levels(steps: Steps, state: Columns) -> NDArray[np.uint8]:
    """Return where the entities' errors lie: codes of Level (e,)."""
    held = ~np.isnan(state["former_threshold"]) & bool(steps.follows)
    codes = np.where(held, Level.HELD, Level.USUAL)
    return np.where(state["above"] > rule.MOVED, Level.MOVED, codes).astype(np.uint8)


def _shorten(steps: Steps, usual: Columns, state: Columns, unit: Vector) -> None:
    """Forget alarms, and shorten the distance by what balances them at the requested rate."""
    state["alarms"] *= 1 - steps.rare / DUE
    distance, least = state["distance"], rule.LEAST_DISTANCE * usual["distance"]
    ease = np.where(distance > usual["distance"], 1.0, np.maximum(1 - state["alarms"] / DUE, 0.0))
    state["distance"][:] = np.maximum(distance - rule.RAISE_DISTANCE * steps.rare * unit * ease, least)


def _heat(steps: Steps, usual: Columns, state: Columns, places: Places, logs: Vector, alarm: Flags) -> None:
    """Remember hot rows, and widen the margins and the distances.

    `state` is of all entities, `usual` of those at `places`.
    """
    step, most = steps.follows * usual["step"], usual["spread"] * steps.cap
    state["last"][places, state["streak"][places]] = logs
    state["streak"][places] += 1
    length = np.where(state["quiet"][places] > steps.quiet, 1, state["length"][places] + 1)
    state["length"][places] = length
    state["quiet"][places] = 0
    weight = np.where(length <= rule.FULL, 1.0, rule.LESS)
    hot = state["hot"][places] + weight
    state["hot"][places] = hot
    moved = np.maximum(state["middle"][places] - usual["middle"], 0.0)
    low, high = rule.SHIFTED
    shifted = np.minimum(np.maximum((state["above"][places] - low) / (high - low), 0.0), 1.0)
    room = shifted * np.maximum(usual["bulk"] + moved - state["bulk"][places], 0.0)
    raised = state["margin"][places] + step * rule.RAISE * weight * _excess(hot)
    state["margin"][places] = np.minimum(raised, usual["margin"] + most + room)
    if steps.rare and alarm.any():
        places, length, most = places[alarm], length[alarm], most[alarm]
        weight = np.where(length <= rule.FULL_ALARMS, 1.0, rule.LESS_ALARMS)
        alarms = state["alarms"][places] + weight
        state["alarms"][places] = alarms
        unit = steps.follows * usual["spread"][alarm]
        raised = state["distance"][places] + unit * rule.RAISE_DISTANCE * weight * _excess(alarms)
        state["distance"][places] = np.minimum(raised, usual["distance"][alarm] + most)


def _rise(steps: Steps, state: Columns, places: Places, edge: Vector) -> None:
    """Take the last hot rows as the new levels."""
    first = np.isnan(state["former_threshold"][places])
    new = places[first]
    state["former_bulk"][new], state["former_threshold"][new] = state["bulk"][new], edge[first]
    state["since"][new] = rule.LEVEL_ROWS
    if steps.follows:
        level = np.sort(state["last"][places])[:, rule.LEVEL_BULK - 1]
        state["bulk"][places] = np.maximum(state["bulk"][places], level)
        state["hot"][places] = np.minimum(state["hot"][places], DUE)
    state["streak"][places] = 0


def _return(state: Columns, places: Places) -> None:
    """Go back to the former levels."""
    state["bulk"][places] = state["former_bulk"][places]
    state["former_bulk"][places] = state["former_threshold"][places] = np.nan
    state["above"][places] = np.minimum(state["above"][places], rule.MOVED)
    state["below"][places] = state["since"][places] = 0


def _excess(remembered: Vector) -> Vector:
    return np.minimum(np.maximum(remembered / DUE - 1, 0.0), rule.MOST)
