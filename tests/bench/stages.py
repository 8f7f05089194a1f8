"""Where the time of a worker goes, stage by stage, while records wait for it.

    python -m tests.bench.stages [--records 200000] [--write]

The worker's own metric, `aestream_batch_duration_seconds`: by the clock, in microseconds a record. What librdkafka and
kafka-python do on threads of their own shows in it where the loop waits for them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from aestream.app.process import free_port
from tests.bench import page
from tests.bench.compared import CLIENTS
from tests.bench.jobs import Job, running, wait
from tests.bench.memory import scrape
from tests.bench.stage import WINDOW, Stage, opened
from tests.bench.telemetry import telemetry

STAGES = ("poll", "decode", "score", "publish", "commit")


def spent(job: Job, count: int) -> list[float]:
    """Let a worker score all records; return the microseconds that each stage took for one."""
    port = int(job.environment["AESTREAM_HTTP__PORT"])
    with running(job) as worker:
        wait(lambda: job.done() >= count, worker)
        name = "aestream_batch_duration_seconds_sum"
        return [1e6 * scrape(port, f'{name}{{stage="{stage}"}}') / count for stage in STAGES]


def rows(stage: Stage, records: int) -> list[Sequence[str]]:
    """Each client, with both kinds of models."""
    made = telemetry(records)
    found: list[Sequence[str]] = []
    source = stage.filled(made)
    for window in (1, WINDOW):
        model = stage.model(made, window)
        for client in CLIENTS:
            port = str(free_port())
            name = f"{client}, {f'windows of {window}' if window > 1 else 'single records'}"
            given = {**model, "AESTREAM_KAFKA__CLIENT": client, "AESTREAM_HTTP__PORT": port}
            took = spent(stage.worker(name, source, given), records)
            found.append([name, *(f"{part:.1f}" for part in took), f"{sum(took):.1f}"])
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    with opened(options.bootstrap_servers) as stage:
        found = rows(stage, options.records)
    text = page.table(["us a record", *STAGES, "together"], found)
    page.show("stages", text, into_page=options.write)


if __name__ == "__main__":
    main()
