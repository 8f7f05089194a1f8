from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from aestream.state import alarms as module
from aestream.state.alarm_rule import SOONEST_MOVED, Adaptation
from aestream.state.alarms import Alarms, Judged
from aestream.state.usual import learn_usual
from aestream.types import Flags, Level, Vector

TRAIN = np.random.default_rng(1).normal(size=10_000)
RATES = (0.05, 0.01, 0.001)
ADAPTATIONS: tuple[Adaptation, ...] = ("off", "bounded", "held")


def judge(logs: Vector, rate: float = 0.01, adaptation: Adaptation = "bounded") -> tuple[Flags, Judged]:
    """Whether the rows of one entity are flagged, and the judgement."""
    alarms, usual = Alarms(rate, adaptation), learn_usual(TRAIN, rate)
    judged = alarms.step(alarms.blank(usual), usual, np.zeros(len(logs), np.intp), logs)
    return logs > judged.threshold, judged


def wild(entities: int, rows: int, seed: int) -> NDArray[np.float64]:
    """Log errors (entities, rows) with shifts of the level, and single rows far off."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(entities, rows))
    for own in logs:
        for _ in range(rng.integers(0, 5)):
            start = rng.integers(0, rows)
            own[start : start + rng.integers(1, 600)] += rng.choice([-2, 2, 4, 8])
    return logs


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_at_once_in_pieces_or_one_by_one_is_the_same_to_the_bit(
    rate: float, adaptation: Adaptation, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = wild(12, 1500, seed=int(1 / rate))
    usual = np.repeat(learn_usual(TRAIN, rate), len(logs))
    alarms, rng = Alarms(rate, adaptation), np.random.default_rng(2)

    monkeypatch.setattr(module, "FEW", len(logs) + 1)
    alone = alarms.blank(usual)
    expected = alarms.step(alone, usual, np.repeat(np.arange(len(logs)), logs.shape[1]), logs.ravel())
    thresholds, levels, since = (
        column.reshape(logs.shape) for column in (expected.threshold, expected.level, expected.since)
    )

    remembered = alarms.blank(usual)
    seen = np.zeros(len(logs), np.intp)
    while np.any(seen < logs.shape[1]):
        monkeypatch.setattr(module, "FEW", int(rng.integers(1, len(logs) + 2)))
        counts = np.minimum(rng.integers(0, rng.choice([3, 200]), size=len(logs)), logs.shape[1] - seen)
        rows = np.concatenate([np.arange(start, start + count) for start, count in zip(seen, counts, strict=True)])
        owner = np.repeat(np.arange(len(logs)), counts)
        remembered = np.frombuffer(bytearray(remembered.tobytes()), remembered.dtype)
        judged = alarms.step(remembered, usual, owner, logs[owner, rows])
        assert np.array_equal(judged.threshold, thresholds[owner, rows])
        assert np.array_equal(judged.level, levels[owner, rows])
        assert np.array_equal(judged.since, since[owner, rows])
        seen += counts
    assert remembered.tobytes() == alone.tobytes()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3])
def test_the_achieved_rate_stays_near_the_requested_one(rate: float, shift: float) -> None:
    logs = shift + np.random.default_rng(3).normal(size=50_000)
    flags, _ = judge(logs, rate)
    assert 0.3 * rate <= flags.mean() <= 3 * rate


@pytest.mark.parametrize("rate", RATES)
def test_a_level_that_moves_for_good_is_an_incident_once(rate: float) -> None:
    logs = np.random.default_rng(4).normal(size=4000)
    logs[1000:] += 10
    flags, judged = judge(logs, rate)
    assert flags[1000:1018].all()
    assert flags[1020:].mean() < 3 * rate
    assert judged.level[1000] == Level.USUAL
    assert judged.level[1100] == Level.HELD
    assert (judged.level[1400:] == Level.MOVED).all()
    assert judged.since[3000] == pytest.approx(2000, abs=40)


def test_a_level_that_returns_is_judged_as_before_at_once() -> None:
    logs = np.random.default_rng(5).normal(size=3000)
    logs[1000:2000] += 10
    flags, judged = judge(logs)
    assert judged.level[1999] == Level.MOVED
    assert (judged.level[2030:] == Level.USUAL).all()
    assert (judged.since[2030:] == 0).all()
    logs[2100] = 6
    assert judge(logs)[0][2100]
    assert flags[2000:].mean() < 0.03


@pytest.mark.parametrize("center", [2.4, 3.0, 3.3])
@pytest.mark.parametrize("period", [90, 125])
def test_a_level_around_the_former_threshold_does_not_come_and_go_for_ever(center: float, period: int) -> None:
    rows = np.arange(6_000)
    noise = np.random.default_rng(3).normal(size=len(rows))
    flagged, judged = judge(center + 1.5 * np.sin(rows * 2 * np.pi / period) + 0.1 * noise)

    assert flagged[:1_000].sum() < 100
    assert flagged[3_000:].mean() <= 0.03
    if center > 3:
        assert judged.level[-1] == Level.MOVED


@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_a_new_level_that_began_higher_than_it_stays_does_not_silence_the_alarms(rate: float) -> None:
    logs = np.random.default_rng(5).normal(size=6_000) + 4
    logs[:25] += 4
    flagged, judged = judge(logs, rate)

    assert judged.level[-1] == Level.MOVED
    assert 0.3 * rate <= flagged[3_000:].mean() <= 3 * rate


@pytest.mark.parametrize("spacing", [10, 25, 60, 100, 300])
@pytest.mark.parametrize("rate", [0.01, 0.001])
def test_each_incident_of_a_bad_day_is_flagged(rate: float, spacing: int) -> None:
    usual = learn_usual(TRAIN, rate)[0]
    clear = usual["threshold"] + usual["distance"] + 1.5 * usual["spread"]
    logs = np.random.default_rng(6).normal(size=(50, spacing + 5))
    logs[:, -5:] = clear
    flags, _ = judge(logs.ravel(), rate)
    assert flags.reshape(logs.shape)[:, -5:].any(axis=1).all()


@pytest.mark.parametrize("rate", [0.01, 0.001])
@pytest.mark.parametrize("noise", [0.5, 1.0])
@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_a_level_that_moves_within_its_noise_is_followed_and_incidents_still_stand_out(
    rate: float, noise: float, shift: float
) -> None:
    spread = learn_usual(TRAIN, rate)[0]["spread"]
    calm, days = 3000, 50
    logs = noise * np.random.default_rng(10).normal(size=calm + days * 60) + shift * spread
    incidents = logs[calm:].reshape(days, 60)[:, -5:]
    incidents[:] = np.quantile(logs[:calm], 0.99) + 1.5 * spread
    flags, _ = judge(logs, rate)
    assert flags[1000:calm].mean() <= 4 * rate
    assert flags[calm:].reshape(days, 60)[:, -5:].any(axis=1).all()


def test_only_held_lets_a_bad_day_use_the_rate_up() -> None:
    logs = np.random.default_rng(7).normal(size=(50, 40))
    logs[:, -5:] = 6
    found = {
        adaptation: int(judge(logs.ravel(), 0.01, adaptation)[0].reshape(logs.shape)[:, -5:].any(axis=1).sum())
        for adaptation in ADAPTATIONS
    }
    assert found["off"] == found["bounded"] == 50
    assert found["held"] < 25


def test_thresholds_stay_when_they_may_not_adapt() -> None:
    logs = np.random.default_rng(8).normal(size=2000)
    logs[1000:] += 10
    flags, judged = judge(logs, 0.01, "off")
    assert np.ptp(judged.threshold) == 0
    assert flags[1000:].all()
    assert judged.level[1200] == Level.USUAL
    assert (judged.level[1400:] == Level.MOVED).all()
    assert judged.since[1999] == 1000


def test_errors_that_settle_below_a_widened_margin_have_moved_for_at_least_so_long() -> None:
    usual = learn_usual(TRAIN, 0.05)[0]
    assert usual["threshold"] < usual["bulk"] + usual["margin"]
    logs = np.full(1000, usual["threshold"] + 0.1 * usual["spread"])
    _, judged = judge(logs, 0.05, "off")
    moved = np.flatnonzero(judged.level == Level.MOVED)
    assert moved[0] == SOONEST_MOVED - 1
    assert judged.since[moved].tolist() == (moved + 1).tolist()


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_errors_without_a_bound_leave_no_trace_that_stays(adaptation: Adaptation) -> None:
    logs = np.random.default_rng(9).normal(size=3000)
    logs[100:160] = np.inf
    logs[200] = -np.inf
    flags, judged = judge(logs, 0.01, adaptation)
    assert flags[100]
    assert np.isfinite(judged.threshold[1000:]).all()


def test_a_batch_without_rows_changes_nothing() -> None:
    alarms, usual = Alarms(0.01), learn_usual(TRAIN, 0.01)
    values = alarms.blank(usual)
    before = values.copy()
    assert not len(alarms.step(values, usual, np.empty(0, np.intp), np.empty(0)).threshold)
    assert values.tobytes() == before.tobytes()
