"""How much of the suite runs: AESTREAM_TEST_CHAOS is `long` with `make chaos`; without it, a short form runs.

With `both`, the short form runs with each guarantee.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from aestream.app import clients

_Case = TypeVar("_Case")
DELIVERIES = tuple(clients.DELIVERIES)


@dataclass(frozen=True, slots=True)
class Form:
    """What differs: counts, seconds, and the guarantees with which each fault is tried."""

    records: int  # of the stream that kills and rebalances interrupt
    kills: int
    rebalances: int  # orderly ones, beside those that kills cause
    foreign_seconds: float
    outage_seconds: float
    times: int  # how often a fault that takes little is repeated
    timeout: float  # of one test, in seconds
    deliveries: tuple[str, ...] = DELIVERIES


_LONG = Form(1_000_000, 50, 20, foreign_seconds=600, outage_seconds=60, times=5, timeout=3600)
_BOTH = Form(20_000, 5, 1, foreign_seconds=20, outage_seconds=8, times=1, timeout=300)
_SHORT = replace(_BOTH, deliveries=("at_least_once",))

_CHOSEN = os.environ.get("AESTREAM_TEST_CHAOS", "short")
FORM = {"long": _LONG, "both": _BOTH, "short": _SHORT}[_CHOSEN]
TIMEOUT = FORM.timeout
SHORT = FORM is _SHORT


def some(cases: Iterable[_Case], count: int = 1) -> list[_Case]:
    """The first cases; all of them, unless this is the short form."""
    found = list(cases)
    return found[:count] if SHORT else found
