"""The span of a sample in words, the cycle that it shows, and what to set where it is too short."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pytest

from aestream.inference.coverage import dominant_cycle, in_words, warnings
from aestream.settings.reference import in_variables
from aestream.types import Matrix, Stamps

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = int(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()) * 1000


def times(days: float, count: int = 20_000, seed: int = 0) -> Stamps:
    """Sorted times at random, of which the first and the last are so many days apart."""
    some = np.sort(np.random.default_rng(seed).integers(0, int(days * DAY), count))
    some[[0, -1]] = 0, int(days * DAY)
    return some + NOON


def daily(stamps: Stamps, *, noise: float, features: int = 4, seed: int = 0, period: float = DAY) -> Matrix:
    """Features with a daily cycle of amplitude 1, each with its own phase."""
    rng = np.random.default_rng(seed)
    phases = rng.random(features) * 2 * np.pi
    waves = np.sin(2 * np.pi * stamps[:, None] / period + phases)
    return np.asarray(waves + noise * rng.normal(size=waves.shape), np.float64)


def filtered(innovations: Matrix, phi: float) -> Matrix:
    """AR(1) processes along the first axis; phi 1 is a random walk."""
    found = np.empty_like(innovations)
    state = np.zeros(innovations.shape[1])
    for i, row in enumerate(innovations):
        found[i] = state = phi * state + row
    return found


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3 * 3600, "3.0 hours, from 2026-11-20 12:00 to 15:00 UTC"),
        (36 * 3600, "36.0 hours, from 2026-11-20 12:00 to 2026-11-22 00:00 UTC"),
        (10 * 86_400, "10.0 days, from 2026-11-20 12:00 to 2026-11-30 12:00 UTC"),
        (3600, "60 minutes, from 2026-11-20 12:00 to 13:00 UTC"),
        (90, "90 seconds, from 2026-11-20 12:00 to 12:01 UTC"),
        (0, "0 seconds, from 2026-11-20 12:00 to 12:00 UTC"),
    ],
)
def test_the_span_is_told_in_words(seconds: int, words: str) -> None:
    assert in_words(np.array([NOON, NOON + seconds * 1000])) == words


def test_no_times_have_no_span() -> None:
    nothing = np.empty(0, np.int64)
    assert in_words(nothing) == "an unknown span of time"
    assert warnings(nothing, [np.empty(0)], records=0, wanted=10, more=False) == []


def test_less_than_a_day_says_what_to_set() -> None:
    (warning,) = warnings(times(3 / 24, 3000), [], records=3000, wanted=3000, more=True)
    assert warning.startswith("the sample covers 3.0 hours, from 2026-11-20 12:00 to 15:00 UTC, so ")
    assert warning.endswith("2 days at this rate are 48,000 records: set `sample_period=2d` and `sample_records=48000`")
    assert "AESTREAM_TRAINER__SAMPLE_PERIOD=2d and AESTREAM_TRAINER__SAMPLE_RECORDS=48000" in in_variables(warning)


def test_a_topic_that_holds_no_more_is_to_run_on() -> None:
    (enough,) = warnings(times(3 / 24, 3000), [], records=3000, wanted=200_000, more=False)
    assert enough.endswith("let it run on for 2 days, then train again")
    (few,) = warnings(times(3 / 24, 3000), [], records=3000, wanted=20_000, more=False)
    assert "let it run on for 2 days, then set" in few
    assert "`sample_records=48000`" in few


def test_a_file_is_told_of_as_a_file() -> None:
    (whole,) = warnings(times(3 / 24, 3000), [], records=3000, wanted=9000, more=False, file=True)
    assert whole.endswith("There are no more: train on a file that covers 2 days")
    (part,) = warnings(times(3 / 24, 3000), [], records=3000, wanted=3000, more=True, file=True)
    assert part.endswith("2 days at this rate are 48,000 records: set `sample_records=48000`")


def test_records_that_were_loaded_at_once_have_their_time_elsewhere() -> None:
    for stamps in (np.full(1000, NOON), times(1 / 1440, 200_000)):
        count = len(stamps)
        (warning,) = warnings(stamps, [np.ones(count)], records=count, wanted=count, more=True)
        assert "name the field that holds their time in `time`" in warning
        assert "sample_period" not in warning


@pytest.mark.parametrize("days", [0.96, 1.0, 2.0, 30.0])
def test_a_day_without_a_cycle_is_enough(days: float) -> None:
    stamps = times(days)
    noise = np.random.default_rng(1).normal(size=(len(stamps), 5))
    assert warnings(stamps, noise.T, records=20_000, wanted=20_000, more=True) == []


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("days", [1.5, 1.7, 1.85])
def test_less_than_two_cycles_are_told(days: float, noise: float) -> None:
    stamps = times(days)
    (warning,) = warnings(stamps, daily(stamps, noise=noise).T, records=20_000, wanted=20_000, more=True)
    found = re.search(r"less than two of the cycles that its values follow \(([\d.]+) hours each\)", warning)
    assert found is not None
    assert float(found[1]) == pytest.approx(24, rel=0.08)
    assert "set `sample_period=2d` and `sample_records=" in warning


def test_a_weekly_cycle_asks_for_two_weeks() -> None:
    stamps = times(11)
    matrix = daily(stamps, noise=0.3, period=7 * DAY)
    (warning,) = warnings(stamps, matrix.T, records=20_000, wanted=20_000, more=True)
    assert "`sample_period=14d`" in warning


@pytest.mark.parametrize("days", [1.95, 2.5, 7.0, 12.0])
def test_two_cycles_are_enough(days: float) -> None:
    stamps = times(days)
    matrix = daily(stamps, noise=0.5)
    assert warnings(stamps, matrix.T, records=20_000, wanted=20_000, more=True) == []
    assert dominant_cycle(stamps, matrix.T) == pytest.approx(DAY, rel=0.05)


def test_missing_values_gaps_and_constants_do_not_hide_a_cycle() -> None:
    stamps = times(1.7)
    matrix = daily(stamps, noise=0.5)
    matrix[::3, 0] = np.nan
    matrix[:, 1] = 7.0
    matrix[:, 2] = np.nan
    assert dominant_cycle(stamps, matrix.T) == pytest.approx(DAY, rel=0.05)
    few = stamps[:100], matrix[:100].T
    assert dominant_cycle(*few) is None
    half = (stamps - NOON) % (DAY // 2) < DAY // 4  # half of the time there is nothing
    assert dominant_cycle(stamps[half], matrix[half].T) is None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("phi", [0.0, 0.9, 0.99, 0.999, 1.0])
def test_noise_and_random_walks_have_no_cycle(phi: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = times(1.6, 5000, seed)
    assert dominant_cycle(stamps, filtered(rng.normal(size=(5000, 10)), phi).T) is None
    together = filtered(rng.normal(size=(5000, 1)), phi) + rng.normal(size=(5000, 6))
    assert dominant_cycle(stamps, together.T) is None


@pytest.mark.parametrize("seed", range(5))
def test_trends_steps_and_rare_spikes_are_no_cycle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = times(1.6, 5000, seed)
    place = np.linspace(0, 1, 5000)[:, None]
    noise = rng.normal(size=(5000, 4))
    for shape in (3 * place, 10 * (place - 0.4) ** 2, 3.0 * (place > 0.6), np.exp(3 * place)):
        assert dominant_cycle(stamps, (shape + 0.3 * noise).T) is None
    spikes = np.zeros((5000, 4))
    spikes[[700, 3700]] = 100.0
    assert dominant_cycle(stamps, spikes.T) is None
    assert dominant_cycle(stamps, (spikes + noise).T) is None
    assert dominant_cycle(stamps, rng.standard_cauchy(size=(5000, 8)).T) is None
