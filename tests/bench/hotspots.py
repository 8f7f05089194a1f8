"""Where the time of a worker goes, function by function, while records wait for it: py-spy on the running process.

    python -m tests.bench.hotspots [--records 400000] [--write]

Of the worker's loop, by the function that is at work: itself, and what it calls in C. What clients do on threads of
their own is not in it.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from tests.bench import page
from tests.bench.compared import CLIENTS
from tests.bench.jobs import Job, running, wait
from tests.bench.stage import Stage, opened
from tests.bench.telemetry import telemetry

RATE = 250  # samples a second
SHOWN = 12  # functions of each client
LOOP = "aestream/service/worker.py"
PY_SPY = Path(sysconfig.get_path("scripts")) / "py-spy"


def sampled(job: Job, count: int, folder: Path) -> Counter[str]:
    """Let a worker score all records; return how many samples of its loop each function has."""
    output = folder / "samples"
    record = [str(PY_SPY), "record", "--rate", str(RATE), "--format", "raw", "--output", str(output), "--"]
    with running(replace(job, command=[*record, *job.command])) as profiler:
        wait(lambda: job.done() >= count, profiler)
        (worker,) = psutil.Process(profiler.pid).children()
        worker.terminate()  # py-spy writes what it has once the worker has ended
        profiler.wait(60)
    found: Counter[str] = Counter()  # of samples
    for line in output.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = stack.split(";")
        if any(LOOP in frame for frame in frames):
            found[function(frames)] += int(samples)
    return found


def function(frames: Sequence[str]) -> str:
    """The innermost function of ours or of the client, as `name (file)`."""
    for frame in reversed(frames):
        name, _, where = frame.partition(" (")
        if where.startswith(("aestream/", "kafka/")):
            return f"{name}, {where.partition(':')[0].rstrip(')')}"
    return "others"


def rows(stage: Stage, records: int) -> Iterator[Sequence[str]]:
    """The functions that take longest, over each client, with a model of single records."""
    made = telemetry(records)
    source, model = stage.filled(made), stage.model(made)
    for client in CLIENTS:
        job = stage.worker(client, source, {**model, "AESTREAM_KAFKA__CLIENT": client})
        found = sampled(job, records, stage.folder)
        together = sum(found.values())
        shown = found.most_common(SHOWN)
        for name, samples in [*shown, ("all others", together - sum(samples for _, samples in shown))]:
            yield client, name, f"{samples / together:.0%}"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    if not PY_SPY.exists():
        sys.exit(f"there is no {PY_SPY}: install py-spy (extra `test`)")
    with opened(options.bootstrap_servers) as stage:
        found = list(rows(stage, options.records))
    text = page.table(["client", "function", "share"], found)
    page.show("hotspots", text, into_page=options.write)


if __name__ == "__main__":
    main()
