from __future__ import annotations

import numpy as np

from aestream.service.warming import LOOKED_AT, Warming
from aestream.types import Status


def records(warming: int, others: int) -> np.ndarray:
    return np.repeat(np.array([Status.WARMING, Status.SCORED], np.uint8), [warming, others])


def test_it_is_told_once_that_most_records_are_warming_and_again_after_it_was_better() -> None:
    watch, some = Warming(), LOOKED_AT // 10
    told = [watch.see(records(round(0.95 * some), round(0.05 * some))) for _ in range(25)]
    assert [share for share in told if share is not None] == [0.95]
    assert told[9] == 0.95
    assert [watch.see(records(0, some)) for _ in range(25)] == [None] * 25
    assert [share for share in (watch.see(records(some, 0)) for _ in range(20)) if share is not None] == [1.0]


def test_a_start_is_no_reason() -> None:
    watch = Warming()
    assert watch.see(records(LOOKED_AT // 2, 0)) is None
    assert watch.see(records(0, LOOKED_AT)) is None
