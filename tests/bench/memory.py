"""Memory of a worker over a million records or more, with a new model now and then: it should stay where it is.

    python -m tests.bench.memory [--records 1000000] [--most-growth 0.05] [--bootstrap-servers HOST:PORT]

The resident memory of the worker's process, read ten times or more: when a share of the records is scored and the next
model is in use. The first two shares are the warm-up. What the worker has grown by since is compared with
`--most-growth`, a share of its memory then, if that is given: the exit code is 1 if it is more.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import urllib.request
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from aestream.app import models
from aestream.app.process import free_port
from aestream.networks.threads import use_threads
from tests.bench.jobs import running, wait
from tests.bench.stage import configured, opened
from tests.bench.telemetry import telemetry
from tests.stores import put

ROUNDS = 10
MOST_AT_ONCE = 500_000  # records of a share
WARM_UP = 2  # shares
console = Console()


def scrape(port: int, name: str) -> float:
    """The sum of a metric's samples; 0 while the worker does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--most-growth", type=float)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    use_threads(1)
    rounds = max(ROUNDS, options.records // MOST_AT_ONCE)
    share = options.records // rounds
    made, port, rows = telemetry(share), free_port(), []
    with opened(options.bootstrap_servers) as stage:
        source = stage.topic()
        given = {"AESTREAM_HTTP__PORT": str(port), "AESTREAM_MODEL__POLL_INTERVAL": "1s"}
        job = stage.worker("worker", source, stage.model(made) | given)
        with configured(job.environment) as loaded:
            store = models.registry(loaded)
        with running(job) as worker:
            process = psutil.Process(worker.pid)
            for turn in range(1, rounds + 1):
                stage.fill(source, made)
                wait(lambda: job.done() >= share * turn, worker)  # noqa: B023
                current = store.open(str(store.current()))
                put(store, partial(copy, current))
                wait(lambda: scrape(port, "aestream_model_reloads_total") > turn, worker)  # noqa: B023
                rows.append((share * turn, process.memory_info().rss / 2**20))
    table = Table("records", "models loaded", "resident MiB", title="memory of the worker")
    for turn, (done, size) in enumerate(rows, 2):
        table.add_row(f"{done:,}", str(turn), f"{size:,.0f}")
    console.print(table)
    growth = rows[-1][1] / rows[WARM_UP - 1][1] - 1
    console.print(f"since the first {rows[WARM_UP - 1][0]:,} records: {growth:+.1%}")
    if options.most_growth is not None and growth > options.most_growth:
        sys.exit(f"more than {options.most_growth:.0%}")


def copy(version: Path, new: Path) -> None:
    """Fill the folder of a new version as an old one's."""
    shutil.copytree(version, new, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
