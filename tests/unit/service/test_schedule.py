"""When the next training is due, by a clock that the test owns."""

from __future__ import annotations

import datetime

import pytest

from aestream.errors import ConfigurationError
from aestream.service.schedule import next_run, parse

NOW = datetime.datetime(2026, 3, 29, 12, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("every 90s", datetime.timedelta(seconds=90)),
        ("every 30m", HOUR / 2),
        (" every  6h ", 6 * HOUR),
        ("every 7d", 168 * HOUR),
        ("30 12 * * *", HOUR / 2),
        ("0 12 * * *", 24 * HOUR),
        ("0 4 * * mon", 16 * HOUR),
    ],
)
def test_the_next_run_after_a_moment(text: str, after: datetime.timedelta) -> None:
    assert parse(text)(NOW) == NOW + after


@pytest.mark.parametrize("text", ["off", " OFF "])
def test_off_is_never(text: str) -> None:
    assert next_run(parse(text), last=None, now=NOW) is None
    assert next_run(parse(text), last=NOW - 1000 * HOUR, now=NOW) is None


@pytest.mark.parametrize(
    "text", ["", "daily", "every", "every 0s", "every -1h", "every 1.5h", "every 1w", "* * * *", "61 * * * *"]
)
def test_what_is_not_understood_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match="`schedule`: "):
        parse(text)


def test_at_once_without_a_last_run() -> None:
    assert next_run(parse("every 24h"), last=None, now=NOW) == NOW
    assert next_run(parse("0 4 * * *"), last=None, now=NOW) == NOW


def test_on_time_when_none_was_missed() -> None:
    assert next_run(parse("every 24h"), last=NOW - HOUR, now=NOW) == NOW + 23 * HOUR


@pytest.mark.parametrize("missed", [1, 2, 500])
def test_one_run_makes_up_for_all_that_were_missed(missed: int) -> None:
    schedule = parse("every 1h")
    due = next_run(schedule, last=NOW - missed * HOUR, now=NOW)
    assert due == NOW
    assert next_run(schedule, last=NOW, now=NOW) == NOW + HOUR


@pytest.mark.parametrize(
    ("ahead", "wait"), [(HOUR / 60, 24 * HOUR), (23 * HOUR, 24 * HOUR), (25 * HOUR, 0 * HOUR), (9000 * HOUR, 0 * HOUR)]
)
def test_a_last_run_in_the_future_holds_up_none_for_longer_than_usual(
    ahead: datetime.timedelta, wait: datetime.timedelta
) -> None:
    assert next_run(parse("every 24h"), last=NOW + ahead, now=NOW) == NOW + wait
