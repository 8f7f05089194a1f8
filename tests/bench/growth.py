"""Whether a worker's cost per record grows with the number of keys that it has seen, or with the time that it runs.

    python -m tests.bench.growth [--records 1000000] [--write]

For each number of keys, a worker without windows reads as many records, on Apache Kafka. The table shows its processor
time per record in each quarter of the run: rows that differ show what keys cost, columns that differ what uptime does.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence

import psutil
from kafka import KafkaProducer

from tests.bench import page
from tests.bench.jobs import DEADLINE_SECONDS, Job, running
from tests.bench.stage import PARTITIONS, Stage, opened
from tests.bench.telemetry import telemetry

KEYS = (100, 10_000, 1_000_000)
PARTS = 4
DIFFERENT = 20_000  # values that come again and again


def fill(stage: Stage, topic: str, values: Sequence[bytes], count: int, keys: int) -> None:
    """Produce `count` records, each key in its turn, spread over the partitions."""
    producer = KafkaProducer(bootstrap_servers=stage.bootstrap, batch_size=131_072, linger_ms=20)
    for number, value in zip(range(count), itertools.cycle(values), strict=False):
        producer.send(topic, value, b"key-%07d" % (number % keys), partition=number % PARTITIONS)
        if number % 100_000 == 0:
            producer.flush()  # what is not sent yet stays in memory
    producer.close()


def watch(job: Job, count: int) -> list[float]:
    """Run a worker until it is done with `count` records; return its microseconds of CPU time a record, by part."""
    seen: list[tuple[int, float]] = []  # records and CPU time, at the first records and the ends of parts
    with running(job) as process:
        times = psutil.Process(process.pid)
        deadline = time.monotonic() + 2 * DEADLINE_SECONDS
        while len(seen) <= PARTS:
            done, cpu = job.done(), sum(times.cpu_times()[:2])
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the worker ended early, with {done} of {count} records done")
            if done >= max(1, count * len(seen) // PARTS):
                seen.append((done, cpu))
            time.sleep(0.02)
    if len({done for done, _ in seen}) < len(seen):
        sys.exit("the worker was done too soon to be timed: ask for more --records")
    return [1e6 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(seen)]


def rows(stage: Stage, count: int) -> Iterator[list[str]]:
    """Measure for each number of keys, with `count` records each time."""
    made = telemetry(DIFFERENT)
    model = stage.model(made)
    for keys in sorted({min(keys, count) for keys in KEYS}):
        source = stage.topic()
        fill(stage, source, made.values, count, keys)
        yield [f"{keys:,}", *(f"{part:.1f}" for part in watch(stage.worker("worker", source, model), count))]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    with opened(options.bootstrap_servers) as stage:
        found = list(rows(stage, options.records))
    text = page.table(["keys", *(f"quarter {number + 1}" for number in range(PARTS))], found)
    page.show("growth", text, into_page=options.write)


if __name__ == "__main__":
    main()
