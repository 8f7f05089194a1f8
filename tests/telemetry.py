"""Telemetry of three hosts with faults and a level that moves for good: `python -m tests.telemetry > telemetry.csv`."""

from __future__ import annotations

import csv
import datetime
import sys
from collections.abc import Iterator
from typing import TextIO

import numpy as np

ROWS = 4000  # of each host, a minute apart
START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
HEADER = ("ts", "host", "cpu", "disk", "load", "fault")
# By host, the rows in which its disk is slow although there is no load.
FAULTS = {"web-1": ((2900, 2906), (3300, 3304)), "web-2": (), "web-3": ((3700, 3711),)}
MOVED = "web-2", 3000  # from this row on, this host's disk is busier than before


def rows(*, by_host: bool = False) -> list[list[str]]:
    """The rows, in the order of time, or one host after another."""
    found = [row for place, host in enumerate(FAULTS) for row in _of(host, place)]
    return found if by_host else sorted(found, key=lambda row: row[0])


def write(file: TextIO, *, by_host: bool = False) -> None:
    """Write them as CSV."""
    csv.writer(file, lineterminator="\n").writerows([HEADER, *rows(by_host=by_host)])


def _of(host: str, seed: int) -> Iterator[list[str]]:
    rng = np.random.default_rng(seed)
    minute = np.arange(ROWS)
    load = 0.5 + 0.3 * np.sin(minute / 50 + seed) + 0.05 * rng.normal(size=ROWS)
    cpu = 100 * load + rng.normal(size=ROWS)
    disk = 10 * load + 0.3 * rng.normal(size=ROWS) + 4 * ((host == MOVED[0]) & (minute >= MOVED[1]))
    fault = np.zeros(ROWS, int)
    for start, stop in FAULTS[host]:
        fault[start:stop] = 1
        disk[start + 1 : stop] += 40
    for row in range(ROWS):
        time = (START + datetime.timedelta(minutes=row)).strftime("%Y-%m-%d %H:%M:%S")
        yield [time, host, f"{cpu[row]:.3f}", f"{disk[row]:.3f}", f"{load[row]:.4f}", str(fault[row])]


if __name__ == "__main__":
    write(sys.stdout)
