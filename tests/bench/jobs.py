"""Programs that read one topic and write another: started, timed and ended."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

DEADLINE_SECONDS = 300.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Timed:
    """What one run took: records a second, and seconds of the process's CPU time a record."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Job:
    """A program: how it is called in a table, its command, and how many records it is done with so far."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    done: Callable[[], int]


@contextmanager
def running(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """Run a job's program for as long as this runs."""
    process = subprocess.Popen(job.command, env=dict(job.environment), stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(check: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    """Poll until something is true; give up when the worker ends or takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not check():
        if worker.poll() is not None or time.monotonic() > deadline:
            sys.exit("the worker ended early, or takes too long")
        time.sleep(_LOOK_SECONDS)


def timed(job: Job, count: int, *, deadline: float = DEADLINE_SECONDS) -> Timed:
    """Run a job until it is done with `count` records; time it from the first of them on.

    A program that is slower than `deadline` seconds is timed until then. Raises SystemExit if it ends before.
    """
    with running(job) as process:
        times = psutil.Process(process.pid)
        first: tuple[float, float, int] | None = None
        until = time.monotonic() + deadline
        while True:
            done, now, cpu = job.done(), time.perf_counter(), sum(times.cpu_times()[:2])
            if process.poll() is not None:
                sys.exit(f"{job.name} ended early, with {done} of {count} records done")
            if first is None and done:
                first = (now, cpu, done)
            if done >= count or time.monotonic() > until:
                break
            time.sleep(_LOOK_SECONDS)
    if first is None or done == first[2]:
        sys.exit(f"{job.name} could not be timed, with {done} of {count} records done: change --records")
    records = done - first[2]
    return Timed(records / (now - first[0]), (cpu - first[1]) / records)


@dataclass(frozen=True)
class Spread:
    """The median of several runs, the smallest and the largest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def told(self, unit: float = 1.0, digits: int = 0) -> str:
        """In a table: the median, and the others behind it if there are any."""
        median, least, most = (f"{value * unit:,.{digits}f}" for value in (self.median, self.least, self.most))
        return median if self.least == self.most else f"{median} ({least} to {most})"
