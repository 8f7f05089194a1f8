"""Throughput, in one run on one broker: the client's bare copy loop, the worker, and scoring alone.

Workers and scoring run twice: with a model of single records, and with one of windows of ten records of 300 hosts, of
which the worker keeps in the state topic what it remembers. Each worker delivers at least once, and exactly once.

    python -m tests.bench.throughput [--records 200000] [--bootstrap-servers HOST:PORT]

The copy loop polls and sends a score-sized message for every record: what kafka-python itself costs, with Python's
collector set as the worker sets it. Compare only figures of one run: machines and their load differ. Rates are
wall-clock; CPU time is that of the process alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from aestream.app import clients, models, topics
from aestream.detector.detector import Detector
from aestream.features.schema import FeatureSchema
from aestream.networks.threads import use_threads
from aestream.service import garbage, heap
from aestream.settings import settings
from aestream.types import Batch, Partition, Span
from tests.brokers.apache import ApacheKafka
from tests.stores import put

FEATURES = 20
PARTITIONS = 4
TRAINING_ROWS = 5_000
BATCH = 5_000
HOSTS, WINDOW = 300, 10
DEADLINE_SECONDS = 300.0
console = Console()


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    records: int
    seconds: float
    cpu_seconds: float


def records(count: int) -> tuple[np.ndarray, list[bytes]]:
    """Correlated rows of 20 features, as a matrix and as JSON of about 430 bytes per record."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, FEATURES))
    matrix = np.round(rng.normal(size=(count, 5)) @ mixing + 0.1 * rng.normal(size=(count, FEATURES)), 6)
    names = [f"metric_{i:02d}" for i in range(FEATURES)]
    return matrix, [msgspec.json.encode(dict(zip(names, row, strict=True))) for row in matrix.tolist()]


def fill(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Produce the records, host by host, spread over the partitions."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, batch_size=131_072, linger_ms=20)
    for i, value in enumerate(values):
        producer.send(topic, value, host(i), partition=i % HOSTS % PARTITIONS)
    producer.flush()
    producer.close()


def host(number: int) -> bytes:
    """The host of a record."""
    return b"host-%03d" % (number % HOSTS)


def ends(consumer: KafkaConsumer, topic: str) -> int:
    """How many messages the topic holds."""
    return sum(consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)]).values())


def watch(name: str, command: list[str], environment: dict[str, str], topic: str, count: int) -> Result:
    """Run a process until its output topic holds `count` messages; time it from its first message on."""
    consumer = KafkaConsumer(bootstrap_servers=environment["AESTREAM_KAFKA__BOOTSTRAP_SERVERS"])
    process = subprocess.Popen(command, env=environment)
    try:
        times = psutil.Process(process.pid)
        first = None
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (done := ends(consumer, topic)) < count:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} ended early, with {done} of {count} messages out")
            if done and first is None:
                first = (time.perf_counter(), done, sum(times.cpu_times()[:2]))
            time.sleep(0.05)
        if first is None:
            sys.exit(f"{name} was done before it could be timed: ask for more --records")
        seconds, cpu = time.perf_counter() - first[0], sum(times.cpu_times()[:2]) - first[2]
        return Result(name, count - first[1], seconds, cpu)
    finally:
        process.terminate()
        process.wait(30)
        consumer.close()


def scoring_alone(name: str, detector: Detector, values: list[bytes]) -> Result:
    """Bytes to bytes in this process: decode, detect, explain, encode, batch by batch."""
    pipeline = models.pipeline(settings.load(), detector, "bench")
    batches = []
    for start in range(0, len(values), BATCH):
        part = values[start : start + BATCH]
        n = len(part)
        batches.append(
            Batch(
                [Span(Partition("input", 0), 0, n)],
                range(start, start + n),
                [1_700_000_000_000 + i for i in range(start, start + n)],
                [host(i) for i in range(start, start + n)],
                part,
                [()] * n,
            )
        )

    def run(batch: Batch) -> None:
        decoded = pipeline.decode(batch)
        pipeline.results(batch, decoded, pipeline.score(batch, decoded), lambda _topic: 1_000_000)

    garbage.settle()  # as a worker does
    run(batches[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        run(batch)
    return Result(name, len(values), time.perf_counter() - wall, time.process_time() - cpu)


@contextlib.contextmanager
def broker(given: str | None) -> Iterator[str]:
    """The broker that was given, or an Apache Kafka for as long as this runs."""
    if given:
        yield given
        return
    with ApacheKafka() as kafka:
        yield kafka.bootstrap


def main() -> None:
    """Run them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    use_threads(1)
    heap.keep_freed()  # as a worker does
    matrix, values = records(options.records)
    with broker(options.bootstrap_servers) as bootstrap, tempfile.TemporaryDirectory() as folder:
        rows = environment(bootstrap, f"{folder}/rows")
        windows = environment(bootstrap, f"{folder}/windows") | {
            "AESTREAM_FEATURES__WINDOW": str(WINDOW),
            "AESTREAM_TOPICS__INPUT": rows["AESTREAM_TOPICS__INPUT"],
            "AESTREAM_KAFKA__GROUP_ID": "windows",
        }
        source = rows["AESTREAM_TOPICS__INPUT"]
        work: list[Result] = []
        alone: list[Result] = []
        for name, given in (("single records", rows), (f"windows of {WINDOW}", windows)):
            os.environ.update(given)
            loaded = settings.load()
            detector = prepare(loaded, matrix)
            if not work:
                copies = f"{source}-copies"
                clients.topics(loaded).create([copies], partitions=PARTITIONS, replication=1)
                fill(bootstrap, source, values)
                copy = [sys.executable, "-m", "tests.bench.copy_loop", bootstrap, source, copies]
                work.append(watch("copy loop", copy, given, copies, options.records))
            command, scores = [sys.executable, "-m", "aestream", "worker"], str(loaded.topics.scores)
            work.append(watch(f"worker, {name}", command, given, scores, options.records))
            again = environment(bootstrap, given["AESTREAM_MODEL__STORE"]) | once(given)
            os.environ.update(again)
            loaded = settings.load()
            topics.create(loaded, partitions=PARTITIONS, replication=1, with_input=False)
            scores = str(loaded.topics.scores)
            work.append(watch(f"worker, {name}, exactly once", command, again, scores, options.records))
            alone.append(scoring_alone(f"scoring alone, {name}", detector, values))
    show([*work, *alone], len(values[0]))


def environment(bootstrap: str, folder: str) -> dict[str, str]:
    """The environment of a worker with fresh topics, and its models in `folder`."""
    run = f"bench-{uuid.uuid4().hex[:8]}"
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "AESTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "AESTREAM_TOPICS__INPUT": f"{run}-input",
        "AESTREAM_TOPICS__SCORES": f"{run}-scores",
        "AESTREAM_TOPICS__ANOMALIES": f"{run}-anomalies",
        "AESTREAM_TOPICS__DEAD_LETTERS": f"{run}-dead-letters",
        "AESTREAM_STATE__TOPIC": f"{run}-state",
        "AESTREAM_MODEL__STORE": folder,
        "AESTREAM_MODEL__POLL_INTERVAL": "1s",
        "AESTREAM_HTTP__PORT": "0",
        "AESTREAM_LOG__LEVEL": "warning",
    }


def once(given: dict[str, str]) -> dict[str, str]:
    """The settings of a worker that does the same work, exactly once."""
    same = {name: given[name] for name in given if name.startswith(("AESTREAM_TOPICS__INPUT", "AESTREAM_FEATURES__"))}
    return same | {"AESTREAM_DELIVERY": "exactly_once", "AESTREAM_KAFKA__GROUP_ID": f"once-{uuid.uuid4().hex[:8]}"}


def prepare(loaded: settings.Settings, matrix: np.ndarray) -> Detector:
    """Make the topics, train on the first rows, and store the model where the worker looks for it."""
    topics.create(loaded, partitions=PARTITIONS, replication=1, with_input=True)
    store = models.registry(loaded)
    names = [f"metric_{i:02d}" for i in range(FEATURES)]
    if loaded.features.window == WINDOW:
        table = [dict(zip(names, row, strict=True)) for row in matrix[:TRAINING_ROWS].tolist()]
        hosts, times = [host(i).decode() for i in range(len(table))], np.arange(len(table)) / 1000.0
        detector = models.new_detector(loaded).fit(table, keys=hosts, times=times)
    else:
        detector = models.new_detector(loaded).fit_matrix(matrix[:TRAINING_ROWS], FeatureSchema.of_names(names))
    return Detector.load(store.open(put(store, detector.save)))


def show(results: list[Result], size: int) -> None:
    """Print rates, CPU time a record, and the ratios to the copy loop."""
    table = Table(
        "",
        "records/s",
        "of the copy loop",
        "CPU us a record",
        "records/s a core",
        title=f"{size}-byte records",
    )
    base = results[0].records / results[0].seconds
    for result in results:
        rate = result.records / result.seconds
        cpu = result.cpu_seconds / result.records
        table.add_row(result.name, f"{rate:,.0f}", f"{rate / base:.0%}", f"{1e6 * cpu:.1f}", f"{1 / cpu:,.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
