"""The same job with aestream, with its clients alone, and with what users would take instead, in one run on one broker.

    python -m tests.bench.compared [--records 200000] [--repeats 3] [--only WORDS] [--write]

The programs in `tests/bench/peers` run in an environment of their own, `.cache/peers`, which `make bench-peers` makes;
without it they are left out. Wall-clock rates, and CPU time of the program alone; the broker takes the other core.
`--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from tests.bench import page
from tests.bench.jobs import Job, Spread, Timed, timed
from tests.bench.stage import WINDOW, Stage, opened
from tests.bench.telemetry import Telemetry, telemetry

PEERS = Path(__file__).parent / "peers"
PYTHON = Path(__file__).parents[2] / ".cache" / "peers" / "bin" / "python"
CLIENTS = {"kafka-python": "copy_loop", "confluent": "confluent_loop"}
_SECONDS = 25.0  # a program that is slower is timed for so long
_PEERS = {
    "Quix Streams, a function that does nothing": ("quixstreams_torch", None),
    "Quix Streams, torch, record by record": ("quixstreams_torch", ""),
    "Faust, torch, record by record": ("faust_torch", ""),
    "Bytewax, torch, batches of 1,000": ("bytewax_torch", ""),
    "kafka-python loop, torch, record by record": ("kafka_python_torch", ""),
    "confluent-kafka loop, torch, record by record": ("confluent_torch", "each"),
    "confluent-kafka loop, torch, batches of 1,000": ("confluent_torch", "batch"),
    "confluent-kafka loop, PyOD's IForest, batches of 1,000": ("confluent_torch", "pyod"),
}


class Programs:
    """All programs of one run: they read the same topic, and each writes topics of its own."""

    def __init__(self, stage: Stage, made: Telemetry, folder: Path) -> None:
        self._stage = stage
        self._source = stage.filled(made)
        self._models = {"": stage.model(made), f", windows of {WINDOW}": stage.model(made, WINDOW)}
        self._peer = folder / "peer"
        rows = self._peer.with_suffix(".npz")
        np.savez(rows, rows=made.training, names=np.array(made.names))
        subprocess.run([sys.executable, PEERS / "detector.py", rows, self._peer], check=True)

    def all(self) -> Iterator[Job]:
        """Each program, with fresh topics."""
        for client, copy in CLIENTS.items():
            yield self._copying(f"{client}, bare copy loop", [sys.executable, "-m", f"tests.bench.{copy}"])
            yield from self._workers(client)
        if PYTHON.exists():
            for name, (program, how) in _PEERS.items():
                more = [""] if how is None else [str(self._peer), how] if how else [str(self._peer)]
                yield self._copying(name, [str(PYTHON), str(PEERS / f"{program}.py")], more)

    def _workers(self, client: str) -> Iterator[Job]:
        for (window, model), delivery in itertools.product(self._models.items(), ("at_least_once", "exactly_once")):
            given = {**model, "AESTREAM_DELIVERY": delivery}
            if client != "kafka-python":
                given["AESTREAM_KAFKA__CLIENT"] = client
            mode = delivery.replace("_", " ")
            yield self._stage.worker(f"aestream over {client}, all scores{window}, {mode}", self._source, given)
            if not window and delivery == "at_least_once":
                given["AESTREAM_TOPICS__SCORES"] = "off"
                yield self._stage.worker(f"aestream over {client}, anomalies only, {mode}", self._source, given)

    def _copying(self, name: str, program: list[str], more: list[str] | None = None) -> Job:
        target = self._stage.topic()
        command = [*program, self._stage.bootstrap, self._source, target, *(more or [])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return Job(name, command, environment, lambda: self._stage.ends(target))


def main() -> None:
    """Run each program, by turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="a part of the programs' names")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    made = telemetry(options.records)
    runs: dict[str, list[Timed]] = {}
    with opened(options.bootstrap_servers) as stage:
        programs = Programs(stage, made, stage.folder)
        for turn in range(options.repeats):
            for job in track(list(programs.all()), f"turn {turn + 1}", console=Console(stderr=True)):
                if options.only in job.name:
                    runs.setdefault(job.name, []).append(timed(job, options.records, deadline=_SECONDS))
                    print(f"{job.name}: {runs[job.name][-1]}", file=sys.stderr, flush=True)
    text = shown(runs)
    page.show("compared", text, into_page=options.write)


def shown(runs: dict[str, list[Timed]]) -> str:
    """The table: rates, CPU time, and what a core would do of it."""
    rows = []
    for name, found in runs.items():
        rate, cpu = Spread.of([run.rate for run in found]), Spread.of([run.cpu for run in found])
        rows.append([name, rate.told(), cpu.told(1e6, 1), f"{1 / cpu.median:,.0f}"])
    return page.table(["program", "records/s", "CPU us a record", "records/s a core"], rows)


if __name__ == "__main__":
    main()
