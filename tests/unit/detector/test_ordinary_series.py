"""Series of entities as people have them: what is wrong is found, nothing else, and wrong use is told in one line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from aestream import Detector
from aestream.errors import DataError
from aestream.types import Vector

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
    with pytest.raises(DataError, match="all unknown, or the same: learn without them"):
        Detector().fit(EARLIER.assign(ts=time), keys="host", times="ts")


@pytest.mark.parametrize("clock", ["auto", "on"])
def test_records_that_are_judged_alone_see_no_clock_and_the_training_says_so(clock: str) -> None:
    rows, times = np.random.default_rng(0).normal(size=(600, 2)), START + 600.0 * np.arange(600)
    alone, told = Detector(clock=clock, steps=10).fit(rows, times=times).decisions
    assert alone.startswith("each record is judged alone")
    assert told == "time of day and weekday: not used, as each record is judged alone"


def test_the_training_may_be_in_any_order(detector: Detector) -> None:
    again = Detector(false_alarm_rate=0.01, steps=200).fit(EARLIER[::-1], keys="host", times="ts")
    np.testing.assert_array_equal(again.score(LATER), detector.score(LATER))


def wander(random: np.random.Generator, rows: int, keep: float) -> Vector:
    """A level that wanders around 0 with a spread of 1, and keeps this share of itself from row to row."""
    noise = np.sqrt(1 - keep**2) * random.normal(size=rows)
    noise[0] = random.normal()
    powers = keep ** np.arange(rows)
    return np.convolve(noise, powers)[:rows]


def pods(random: np.random.Generator, count: int) -> pd.DataFrame:
    """Pods of several sizes that live for about six hours; their memory fills during the first half hour."""
    parts = []
    for number in range(count):
        rows = int(random.integers(180, 540))
        times = START + 2700 * number + 60 * np.arange(rows)
        size = np.exp(0.3 * random.normal())
        load = (1 + 0.5 * np.sin(2 * np.pi * times / 86_400)) * np.exp(0.15 * wander(random, rows, 0.97))
        parts.append(
            pd.DataFrame(
                {
                    "ts": times,
                    "pod": f"web-{number:05x}",
                    "requests_total": np.cumsum(random.poisson(1800 * size * load)),
                    "cpu_seconds_total": np.cumsum(7.2 * size * load * np.exp(0.05 * random.normal(size=rows))),
                    "mem_mb": 300
                    + 4 * np.minimum(np.arange(rows), 30)
                    + 15 * size * load
                    + 5 * wander(random, rows, 0.99),
                    "latency_ms": 15 + 3 * load + random.normal(size=rows),
                }
            )
        )
    return pd.concat(parts).sort_values("ts", kind="stable", ignore_index=True)


def test_pods_that_training_has_not_seen_are_neither_noisy_nor_silent() -> None:
    random = np.random.default_rng(4)
    earlier, later = pods(random, 60), pods(random, 60)
    later["pod"] += "-new"
    detector = Detector(false_alarm_rate=0.01, steps=300, adaptation="off").fit(earlier, keys="pod", times="ts")
    assert 0.005 < detector.flag(later).mean() < 0.03
    assert 0.007 < detector.flag(earlier.assign(pod=earlier["pod"] + "-again")).mean() < 0.015
