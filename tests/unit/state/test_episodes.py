from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from aestream.state.episodes import QUIET, Episodes, Told
from aestream.types import Phase

NONE, OPENED, ONGOING, CLOSED = Phase.NONE, Phase.OPENED, Phase.ONGOING, Phase.CLOSED


def follow(anomalies: list[int], rows: int = 100, fresh: list[int] | None = None) -> Told:
    """What the rows of one entity say; an anomaly's score is 1 and its row, its one squared deviation is its row."""
    episodes = Episodes(1)
    marks = np.isin(np.arange(rows), anomalies)
    begins = np.isin(np.arange(rows), fresh or [0])
    when, squares = np.arange(0.5, rows), np.flatnonzero(marks)[:, None].astype(np.float64)
    owner = np.zeros(rows, np.intp)
    return episodes.step(episodes.blank(1), owner, begins, when, 1.0 + when, marks, squares)


def test_anomalies_close_in_time_are_one_episode() -> None:
    told = follow([10, 12, 40], rows=80)
    expected = [NONE] * 10 + [OPENED] + [ONGOING] * 59 + [CLOSED] + [NONE] * 9
    assert told.phase.tolist() == expected
    assert set(told.number[10:71]) == {1}
    assert set(told.since[10:71]) == {10.5}
    assert [told.worst[row] for row in (10, 11, 12, 70)] == [11.5, 11.5, 13.5, 41.5]
    assert told.deviations.tolist() == [[10], [22], [62], [62]]


def test_anomalies_far_apart_are_two() -> None:
    told = follow([0, QUIET, 2 * QUIET + 1])
    assert np.flatnonzero(told.phase == OPENED).tolist() == [0, 2 * QUIET + 1]
    assert np.flatnonzero(told.phase == CLOSED).tolist() == [2 * QUIET, 3 * QUIET + 1]
    assert told.number[[0, 2 * QUIET + 1]].tolist() == [1, 2]
    assert told.deviations.tolist() == [[0], [QUIET], [QUIET], [2 * QUIET + 1], [2 * QUIET + 1]]


def test_a_run_that_begins_anew_ends_an_episode() -> None:
    told = follow([10], fresh=[15])
    assert told.phase[14:17].tolist() == [ONGOING, CLOSED, NONE]
    told = follow([10, 15], fresh=[15])
    assert told.phase[14:17].tolist() == [ONGOING, OPENED, ONGOING]
    assert told.number[15] == 2


def test_pieces_say_what_the_whole_does() -> None:
    rng = np.random.default_rng(0)
    entities, rows, features = 5, 700, 3
    episodes = Episodes(features)
    anomaly = rng.random((entities, rows)) < rng.choice([0.0, 0.01, 0.05, 0.9], size=(entities, 1))
    fresh = rng.random((entities, rows)) < 0.005
    score, squares = rng.lognormal(size=(entities, rows)), rng.lognormal(size=(entities, rows, features))
    when = np.broadcast_to(np.arange(float(rows)), (entities, rows))

    def step(values: Any, owner: Any, number: Any) -> Told:
        here = owner, number
        flagged = anomaly[here]
        return episodes.step(values, owner, fresh[here], when[here], score[here], flagged, squares[here][flagged])

    whole = episodes.blank(entities)
    expected = step(whole, np.repeat(np.arange(entities), rows), np.tile(np.arange(rows), entities))
    columns = {field.name: getattr(expected, field.name) for field in fields(Told)}
    told = anomaly.ravel() | (expected.phase == CLOSED)
    sums = np.full((entities * rows, features), np.nan)
    sums[told] = columns.pop("deviations")

    remembered, seen = episodes.blank(entities), np.zeros(entities, np.intp)
    while np.any(seen < rows):
        counts = np.minimum(rng.integers(0, rng.choice([2, 90]), size=entities), rows - seen)
        owner = np.repeat(np.arange(entities), counts)
        number = np.concatenate([np.arange(start, start + count) for start, count in zip(seen, counts, strict=True)])
        remembered = np.frombuffer(bytearray(remembered.tobytes()), remembered.dtype)
        piece, place = step(remembered, owner, number), owner * rows + number
        for name, column in columns.items():
            assert np.array_equal(getattr(piece, name), column[place])
        assert np.allclose(piece.deviations, sums[place[told[place]]], rtol=1e-5)
        seen += counts
    for name in ("number", "quiet", "since", "worst"):
        assert np.array_equal(remembered[name], whole[name])


@pytest.mark.parametrize("size", [1e30, 1e300, np.inf])
def test_deviations_beyond_all_bounds_stay_numbers(size: float) -> None:
    episodes = Episodes(1)
    values, ones = episodes.blank(1), np.ones(3)
    owner, no, yes = np.zeros(3, np.intp), np.zeros(3, np.bool_), np.ones(3, np.bool_)
    for _ in range(2):
        told = episodes.step(values, owner, no, ones, ones, yes, np.full((3, 1), size))
    assert np.isfinite(told.deviations).all()
    assert np.isfinite(values["deviations"]).all()


def test_a_batch_without_rows_changes_nothing() -> None:
    episodes = Episodes(2)
    values = episodes.blank(3)
    before, nothing = values.copy(), np.empty(0)
    told = episodes.step(
        values, np.empty(0, np.intp), np.empty(0, np.bool_), nothing, nothing, np.empty(0, np.bool_), np.empty((0, 2))
    )
    assert not len(told.phase)
    assert values.tobytes() == before.tobytes()
