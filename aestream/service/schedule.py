"""When to retrain: an interval or a cron expression, as a pure function of the clock."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from cronsim import CronSim, CronSimError

from aestream.errors import ConfigurationError

Moment = datetime.datetime
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CRON_FIELDS = 5

Schedule = Callable[[Moment], Moment | None]


def parse(text: str) -> Schedule:
    """Read `every 6h`, `every 30m`, a five-field cron expression in UTC, or `off`.

    Returns the function that gives the first run after a moment (aware, UTC), or None for never. Raises
    ConfigurationError for anything else.
    """
    wanted = text.strip()
    if wanted.lower() == "off":
        return lambda _after: None
    interval = re.fullmatch(r"every\s+(\d+)\s*([smhd])", wanted)
    if interval and int(interval[1]):
        step = datetime.timedelta(**{_UNITS[interval[2]]: int(interval[1])})
        return lambda after: after + step
    if len(wanted.split()) == _CRON_FIELDS:
        try:
            CronSim(wanted, datetime.datetime.now(datetime.UTC))
        except CronSimError as error:
            raise ConfigurationError(f"`schedule`: {wanted!r} is not a cron expression: {error}") from error
        return lambda after: next(CronSim(wanted, after), None)
    raise ConfigurationError(f"`schedule`: {wanted!r} is not understood; write `every 24h`, `0 4 * * *` or `off`")


def next_run(schedule: Schedule, *, last: Moment | None, now: Moment) -> Moment | None:
    """When the next run is due: at once if there was none yet or one was missed; never for `off`.

    However many runs were missed, one makes up for all of them. A last run in the future was dated by a clock that has
    been set back since: if it is further ahead than the next run, it is not waited for.
    """
    due, next_from_now = schedule(last or now), schedule(now)
    if due is None or next_from_now is None:
        return None
    return now if last is None or last > next_from_now else max(min(due, next_from_now), now)
