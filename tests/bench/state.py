"""What it costs to remember many entities: memory, writing, and taking over, on Apache Kafka.

    python -m tests.bench.state [--entities 100000] [--bootstrap-servers HOST:PORT]

Entities with 20 features and windows of 10 records, on four partitions. One worker scores some records of each, so that
all of them change all the time, and is killed. A second one takes over all partitions.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil
from kafka import KafkaProducer
from rich.table import Table

from aestream.app import models
from aestream.app.process import free_port
from aestream.networks.threads import use_threads
from aestream.settings import settings
from tests.bench.jobs import Job, wait
from tests.bench.memory import console, scrape
from tests.bench.stage import PARTITIONS, Stage, configured, opened
from tests.stores import put

FEATURES = 20
ROUNDS = 6  # records of each entity
HOSTS, STEPS = 200, 60  # of the training
START = 1_700_000_000


def record(rng: np.random.Generator, count: int, step: int) -> np.ndarray:
    """One record of each of so many entities, (count, features)."""
    phase = np.arange(count)[:, None] + np.linspace(0, 3, FEATURES)
    return np.round(np.sin(step / 7 + phase) + 0.1 * rng.standard_normal((count, FEATURES)), 6)


def fill(bootstrap: str, topic: str, entities: int, rounds: range) -> None:
    """Produce a record of each entity in each round, in the order of the rounds."""
    rng, names = np.random.default_rng(rounds.start), [f"metric_{i:02d}" for i in range(FEATURES)]
    producer = KafkaProducer(bootstrap_servers=bootstrap, batch_size=131_072, linger_ms=20)
    for step in rounds:
        stamp = (START + 10 * step) * 1000
        for number, row in enumerate(record(rng, entities, step).tolist()):
            value = msgspec.json.encode(dict(zip(names, row, strict=True)))
            producer.send(topic, value, b"entity-%06d" % number, None, number % PARTITIONS, stamp)
    producer.flush()
    producer.close()


def train(loaded: settings.Settings) -> None:
    """A model of some entities."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([record(rng, HOSTS, step) for step in range(STEPS)])
    keys = [f"entity-{number:06d}" for _ in range(STEPS) for number in range(HOSTS)]
    times = np.repeat(START + 10.0 * np.arange(-STEPS, 0), HOSTS)
    table = [dict(zip([f"metric_{i:02d}" for i in range(FEATURES)], row, strict=True)) for row in rows.tolist()]
    detector = models.new_detector(loaded).fit(table, keys=keys, times=times)
    put(models.registry(loaded), detector.save)


def logged(log: Path, pattern: str) -> re.Match[str] | None:
    """The line of a log that matches."""
    return re.search(pattern, log.read_text())


def main() -> None:
    """Run two workers, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    use_threads(1)
    with opened(options.bootstrap_servers) as stage:
        source = stage.topic()
        given = {
            "AESTREAM_MODEL__STORE": f"{stage.folder}/models",
            "AESTREAM_HTTP__PORT": str(free_port()),
            "AESTREAM_LOG__LEVEL": "info",
            "AESTREAM_LOG__FORMAT": "plain",
            "AESTREAM_FEATURES__WINDOW": "10",
        }
        job = stage.worker("worker", source, given)
        with configured(job.environment) as loaded:
            train(loaded)
        show(options.entities, *measure(stage, job, source, options.entities, stage.folder))


def measure(stage: Stage, job: Job, source: str, entities: int, folder: Path) -> tuple[dict[str, float], float, float]:
    """What the first worker says of itself, and how long the second one takes before it scores, with its memory."""
    given, found = dict(job.environment), {}
    command, port = list(job.command), int(given["AESTREAM_HTTP__PORT"])
    with (folder / "first.log").open("w") as log, subprocess.Popen(command, env=given, stderr=log) as worker:
        try:
            wait(lambda: scrape(port, "aestream_ready") > 0, worker)
            empty, began = psutil.Process(worker.pid).memory_info().rss, time.perf_counter()
            fill(stage.bootstrap, source, entities, range(ROUNDS))
            wait(lambda: job.done() >= entities * ROUNDS, worker)
            seconds = time.perf_counter() - began
            wait(lambda: scrape(port, "aestream_entities") >= entities, worker)
            found = {
                "bytes": scrape(port, "aestream_state_bytes"),
                "seconds": seconds,
                "writing": scrape(port, 'aestream_batch_duration_seconds_sum{stage="state"}'),
                "before": empty / 2**20,
                "after": psutil.Process(worker.pid).memory_info().rss / 2**20,
            }
        finally:
            worker.kill()
    with (folder / "second.log").open("w") as log, subprocess.Popen(command, env=given, stderr=log) as worker:
        try:
            wait(lambda: logged(folder / "second.log", "entities are remembered") is not None, worker)
            wait(lambda: scrape(port, "aestream_ready") > 0, worker)
            size = psutil.Process(worker.pid).memory_info().rss / 2**20
        finally:
            worker.kill()
    line = logged(folder / "second.log", r"(\d+) entities are remembered, after ([\d.]+) s and (\d+) records")
    console.print(line[0] if line else (folder / "second.log").read_text())
    return found, float(line[2]) if line else float("nan"), size


def show(entities: int, found: dict[str, float], taken_over: float, size: float) -> None:
    """Print what was measured."""
    table = Table("", "", title=f"{entities:,} entities with {FEATURES} features")
    table.add_row("remembered", f"{found['bytes'] / 2**20:,.0f} MiB, {found['bytes'] / entities:,.0f} bytes each")
    table.add_row("memory of the worker before and after", f"{found['before']:,.0f} and {found['after']:,.0f} MiB")
    table.add_row("records/s meanwhile", f"{entities * ROUNDS / found['seconds']:,.0f}")
    table.add_row("of the time spent on writing", f"{found['writing'] / found['seconds']:.1%}")
    table.add_row(f"take-over of {PARTITIONS} partitions", f"{taken_over:.1f} s")
    table.add_row("memory of the worker that took over", f"{size:,.0f} MiB")
    console.print(table)


if __name__ == "__main__":
    main()
