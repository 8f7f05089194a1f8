"""Series of entities as people have them: wrong use is refused in one line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from aestream import Detector
from aestream.errors import DataError

STEP, START, RECORDS = 15.0, 1.79e9, 900


def telemetry(seed: int = 0) -> pd.DataFrame:
    """Three hosts that are scraped in turn: a gauge that follows the load, and a counter of requests."""
    random = np.random.default_rng(seed)
    parts = []
    for number, host in enumerate(("web-1", "web-2", "web-3")):
        load = np.sin(np.arange(RECORDS) / 40 + number) + 2
        latency = 20 + 5 * load + random.normal(size=RECORDS)
        requests = np.cumsum(random.poisson(600 * load))
        times = START + STEP * np.arange(RECORDS) + random.uniform(0, 1, RECORDS)
        parts.append(pd.DataFrame({"ts": times, "host": host, "latency": latency, "requests_total": requests}))
    return pd.concat(parts).sort_values("ts", ignore_index=True)


TABLE = telemetry()
EARLIER, LATER = TABLE[:1800], TABLE[1800:]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(false_alarm_rate=0.01, steps=200).fit(EARLIER, keys="host", times="ts")


WRONG: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "no column of keys": (lambda table: table.drop(columns="host"), "`keys` names 'host', and the table has no such"),
    "no column of times": (lambda table: table.drop(columns="ts"), "`times` names 'ts', and the table has no such"),
    "newest first": (lambda table: table[::-1], "897 of 900 records are older than one of .* sort the table"),
    "times of two kinds": (
        lambda table: table.assign(ts=["2026-11-27T00:00:00Z", *table["ts"][1:]]),
        "times: row 1 is a number, and others are text",
    ),
    "other dates": (lambda table: table.assign(ts="27.11.2026 14:30"), "times: row 0 is text, not a timestamp"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_told_in_one_line(detector: Detector, name: str) -> None:
    change, words = WRONG[name]
    with pytest.raises(DataError, match=words) as told:
        detector.detect(change(LATER))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("time", [START, np.nan])
def test_a_time_that_never_moves_is_refused(time: float) -> None:
    with pytest.raises(DataError, match="all unknown, or the same: leave `times` out"):
        Detector().fit(EARLIER.assign(ts=time), keys="host", times="ts")


def test_the_training_may_be_in_any_order(detector: Detector) -> None:
    again = Detector(false_alarm_rate=0.01, steps=200).fit(EARLIER[::-1], keys="host", times="ts")
    np.testing.assert_array_equal(again.score(LATER), detector.score(LATER))
