import math

import numpy as np
import pytest

from aestream.state.usual import learn_usual

RNG = np.random.default_rng(0)
LOGS = RNG.normal(size=5000)


def test_a_threshold_leaves_the_requested_rate_above_it() -> None:
    for rate in (0.01, 0.05, 0.2):
        usual = learn_usual(LOGS, rate)[0]
        assert np.mean(usual["threshold"] < LOGS) == pytest.approx(rate, abs=2e-4)
        assert usual["bulk"] == pytest.approx(np.quantile(LOGS, min(0.9, 1 - 2 * rate)))
        assert usual["bulk"] < usual["threshold"] <= usual["bulk"] + usual["margin"]
        assert usual["distance"] == 0


def test_a_rarer_rate_lies_a_distance_beyond_the_hundredth() -> None:
    logs = RNG.exponential(2.0, size=100_000)
    rare, hundredth = learn_usual(logs, 0.001)[0], learn_usual(logs, 0.01)[0]
    assert rare["threshold"] == hundredth["threshold"]
    assert rare["distance"] == pytest.approx(0.5 * 2.0 * math.log(10), rel=0.1)


def test_ten_rows_of_a_small_sample_stay_above_its_threshold() -> None:
    logs = np.sort(RNG.normal(size=200))
    usual = learn_usual(logs, 0.001)[0]
    assert logs[-11] <= usual["threshold"] <= logs[-10]


def test_the_fewer_rows_the_closer_to_what_is_usual_of_all() -> None:
    owner = np.concatenate([np.full(5000, 1), np.full(200, 2), np.full(2, 3)])
    logs = np.concatenate([LOGS, RNG.normal(10, 1, size=202)])
    everything, many, some, two, none = learn_usual(logs, 0.01, owner, 4)
    alone = learn_usual(logs[owner == 2], 0.01)[0]
    assert many["threshold"] < everything["threshold"] < some["threshold"] < alone["threshold"] + 1
    assert some["bulk"] == pytest.approx((everything["bulk"] + alone["bulk"]) / 2)
    assert abs(two["bulk"] - everything["bulk"]) < 0.02 * abs(alone["bulk"] - everything["bulk"])
    assert none == everything


def test_few_rows_for_each_of_many_entities_leave_the_requested_rate_above_them() -> None:
    owner = np.repeat(np.arange(1, 301), 250)
    logs = RNG.normal(size=len(owner)) + owner % 7
    threshold = learn_usual(logs, 0.01, owner, 300)["threshold"]
    later = RNG.normal(size=len(owner)) + owner % 7
    middle = np.mean(later[owner % 7 == 3] > threshold[owner[owner % 7 == 3]])  # as high as all are on the whole
    assert middle < 0.02
    same = learn_usual(logs - owner % 7, 0.01, owner, 300)["threshold"]
    assert np.mean(later - owner % 7 > same[owner]) == pytest.approx(0.01, abs=0.003)


def test_the_order_of_the_rows_means_nothing() -> None:
    owner = RNG.integers(1, 4, size=len(LOGS))
    shuffled = RNG.permutation(len(LOGS))
    assert np.array_equal(learn_usual(LOGS, 0.01, owner, 3), learn_usual(LOGS[shuffled], 0.01, owner[shuffled], 3))


@pytest.mark.parametrize("logs", [np.zeros(1), np.zeros(100)])
def test_errors_that_never_vary_leave_room(logs: np.ndarray) -> None:
    usual = learn_usual(logs, 0.001)[0]
    assert usual["spread"] > 0
    assert usual["margin"] > 0
    assert usual["distance"] == 0


def test_a_margin_moves_in_steps_of_the_tail_which_are_neither_tiny_nor_wider_than_the_spread() -> None:
    exponential = learn_usual(RNG.exponential(2.0, size=100_000), 0.01)[0]
    assert exponential["step"] == pytest.approx(2.5 * 2.0, rel=0.1)

    blunt = learn_usual(np.concatenate([LOGS, np.full(500, 9.0)]), 0.01)[0]
    assert blunt["step"] == pytest.approx(0.5 * blunt["spread"])

    heavy = learn_usual(np.exp(2 * RNG.exponential(2.0, size=100_000)), 0.01)[0]
    assert heavy["step"] == heavy["spread"]
