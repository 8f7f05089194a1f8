"""Whether a worker's cost per record grows with the number of keys that it has seen, or with the time that it runs.

    python -m tests.bench.growth [--records 1000000] [--bootstrap-servers HOST:PORT]

For each number of keys, a worker without windows reads as many records, on Apache Kafka. The table shows its processor
time per record in each quarter of the run: rows that differ show what keys cost, columns that differ what uptime does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
from kafka import KafkaConsumer, KafkaProducer
from rich.console import Console
from rich.table import Table

from aestream.app import clients
from aestream.settings import settings
from tests.bench.throughput import DEADLINE_SECONDS, PARTITIONS, broker, ends, environment, prepare, records

KEYS = (100, 10_000, 1_000_000)
PARTS = 4
DIFFERENT = 20_000  # values that come again and again


@dataclass(frozen=True)
class Row:
    """One line of the table: microseconds of processor time per record, part by part."""

    keys: int
    parts: tuple[float, ...]


def fill(bootstrap: str, topic: str, values: list[bytes], count: int, keys: int) -> None:
    """Produce `count` records, each key in its turn, spread over the partitions."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, batch_size=131_072, linger_ms=20)
    for number, value in zip(range(count), itertools.cycle(values), strict=False):
        producer.send(topic, value, b"key-%07d" % (number % keys), partition=number % PARTITIONS)
        if number % 100_000 == 0:
            producer.flush()  # what is not sent yet stays in memory
    producer.close()


def watch(run: dict[str, str], topic: str, count: int) -> tuple[float, ...]:
    """Run a worker until its output topic holds `count` messages; return its processor time per record, by part."""
    consumer = KafkaConsumer(bootstrap_servers=run["AESTREAM_KAFKA__BOOTSTRAP_SERVERS"])
    process = subprocess.Popen([sys.executable, "-m", "aestream", "worker"], env=run)
    seen: list[tuple[int, float]] = []  # messages and processor time, at the first message and the ends of parts
    try:
        times = psutil.Process(process.pid)
        deadline = time.monotonic() + 2 * DEADLINE_SECONDS
        while len(seen) <= PARTS:
            done, cpu = ends(consumer, topic), sum(times.cpu_times()[:2])
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the worker ended early, with {done} of {count} messages out")
            if done >= max(1, count * len(seen) // PARTS):
                seen.append((done, cpu))
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(30)
        consumer.close()
    return tuple(1e6 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(seen))


def rows(bootstrap: str, count: int) -> Iterator[Row]:
    """Measure for each number of keys, with `count` records each time."""
    matrix, values = records(DIFFERENT)
    with tempfile.TemporaryDirectory() as folder:
        for keys in sorted({min(keys, count) for keys in KEYS}):
            run = environment(bootstrap, folder)
            os.environ.update(run)
            loaded = settings.load()
            prepare(loaded, matrix)
            source, target = run["AESTREAM_TOPICS__INPUT"], str(loaded.topics.scores)
            fill(bootstrap, source, values, count, keys)
            yield Row(keys, watch(run, target, count))
            clients.topics(loaded).delete([source, target])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    quarters = [f"quarter {number + 1}" for number in range(PARTS)]
    table = Table("keys", *quarters, title=f"CPU us a record, {options.records:,} records a line")
    with broker(options.bootstrap_servers) as bootstrap:
        for row in rows(bootstrap, options.records):
            table.add_row(f"{row.keys:,}", *(f"{part:.1f}" for part in row.parts))
    Console().print(table)


if __name__ == "__main__":
    main()
