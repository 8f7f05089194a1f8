"""How the cost of a worker grows: over partitions and processes, features, and bytes.

    python -m tests.bench.scaling [--records 200000] [--write]

All scores are published, at least once. Several workers share a machine with the broker: what they can do together is
bounded by its cores, so the CPU time a record is what to look at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.bench import page
from tests.bench.jobs import Job, timed
from tests.bench.stage import Stage, opened
from tests.bench.telemetry import telemetry

WORKERS, FEATURES, KILOBYTES = (1, 2, 4), (5, 20, 100, 500), (0.2, 1.0, 10.0)
_MOST_BYTES = 200_000_000  # of one topic


def by_workers(stage: Stage, records: int) -> list[Sequence[str]]:
    """One worker, then more of them in a group, each with a partition."""
    made = telemetry(records)
    rows: list[Sequence[str]] = []
    model = stage.model(made)
    for count in WORKERS:
        first = stage.worker("worker", stage.filled(made, count), model, partitions=count)
        with ThreadPoolExecutor(count) as pool:
            runs = list(pool.map(timed, [first] * count, [records] * count))
        rate, cpu = sum(run.rate for run in runs) / count, sum(run.cpu for run in runs)
        rows.append([f"{count} workers, {count} partitions", f"{rate:,.0f}", f"{1e6 * cpu:.1f}"])
    return rows


def by_features(stage: Stage, records: int) -> list[Sequence[str]]:
    """One worker, with records of more and more features."""
    rows: list[Sequence[str]] = []
    for features in FEATURES:
        made = telemetry(min(records, 20 * records // features), features)
        job = stage.worker("worker", stage.filled(made), stage.model(made))
        rows.append(_row(f"{features} features, {len(made.values[0]):,} bytes", job, len(made.values)))
    return rows


def by_size(stage: Stage, records: int) -> list[Sequence[str]]:
    """One worker, with 20 features, or as many as fit, in records of more and more bytes."""
    rows: list[Sequence[str]] = []
    for kilobytes in KILOBYTES:
        size = int(1000 * kilobytes)
        made = telemetry(min(records, _MOST_BYTES // size), 5 if kilobytes < 1 else 20, size=size)
        job = stage.worker("worker", stage.filled(made), stage.model(made))
        rows.append(_row(f"{len(made.names)} features, {len(made.values[0]):,} bytes", job, len(made.values)))
    return rows


def _row(name: str, job: Job, records: int) -> Sequence[str]:
    run = timed(job, records)
    return [name, f"{run.rate:,.0f}", f"{1e6 * run.cpu:.1f}"]


def main() -> None:
    """Measure each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    with opened(options.bootstrap_servers) as stage:
        parts = (by_workers, by_features, by_size)
        rows = [row for part in parts for row in part(stage, options.records)]
    text = page.table(["", "records/s", "CPU us a record"], rows)
    page.show("scaling", text, into_page=options.write)


if __name__ == "__main__":
    main()
