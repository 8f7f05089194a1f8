"""A worker's memory, the time from its start to its first score, and the pause when it takes a new model.

    python -m tests.bench.serving [--seconds 20] [--write]

While a producer sends 2,000 records a second. Memory is resident, as the kernel counts it. The pause is the longest
time between two scores around the change of the model, beside the longest one at any other time.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from collections.abc import Sequence

import msgspec
import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from aestream.app import models
from aestream.detector.detector import Detector
from tests.bench import page
from tests.bench.jobs import running, wait
from tests.bench.stage import PARTITIONS, WINDOW, Stage, configured, opened
from tests.bench.telemetry import HOSTS, Telemetry, telemetry
from tests.stores import put

_RATE, _PART = 2_000, 20  # records a second, and so many at once
_AROUND_SECONDS = 3.0


def feed(bootstrap: str, topic: str, made: Telemetry, stop: threading.Event) -> None:
    """Send records at a steady rate until told to stop."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    due = time.monotonic()
    at = 0
    while not stop.is_set():
        for _ in range(_PART):
            host = at % HOSTS
            producer.send(topic, made.values[at % len(made.values)], b"host-%03d" % host, partition=host % PARTITIONS)
            at += 1
        producer.flush()
        due += _PART / _RATE
        time.sleep(max(0.0, due - time.monotonic()))
    producer.close()


def serve(stage: Stage, made: Telemetry, window: int, seconds: float) -> Sequence[str]:
    """Run a worker for a while, and give it a new model; return a row of the table."""
    source = stage.topic()
    job = stage.worker("worker", source, {**stage.model(made, window), "AESTREAM_MODEL__POLL_INTERVAL": "1s"})
    scores = job.environment["AESTREAM_TOPICS__SCORES"]
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(stage.bootstrap, source, made, stop))
    feeder.start()
    began = time.time()
    with running(job) as worker:
        try:
            wait(lambda: stage.ends(scores) > 0, worker)
            time.sleep(seconds)
            memory = psutil.Process(worker.pid).memory_info().rss
            with configured(job.environment) as loaded:
                store = models.registry(loaded)
                put(store, Detector.load(store.open(str(store.current()))).save)
            time.sleep(seconds)
        finally:
            stop.set()
            feeder.join()
    times, versions = told(stage.bootstrap, scores)
    first, swap = times[0], next(at for at, version in enumerate(versions) if version != versions[0])
    steady = first + _AROUND_SECONDS  # what was sent before it started is scored
    pauses = [(after - before, before) for before, after in itertools.pairwise(times) if before > steady]
    at_swap = max(pause for pause, at in pauses if abs(at - times[swap]) < _AROUND_SECONDS)
    others = max(pause for pause, at in pauses if abs(at - times[swap]) >= _AROUND_SECONDS)
    what = f"windows of {window}" if window > 1 else "single records"
    return [what, f"{memory / 2**20:,.0f}", f"{first - began:.1f}", f"{1000 * at_swap:.0f}", f"{1000 * others:.0f}"]


def told(bootstrap: str, topic: str) -> tuple[list[float], list[str]]:
    """When each score was written, in seconds since 1970, in order, and by which version."""
    parts = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign(parts)
    ends = consumer.end_offsets(parts)
    consumer.seek_to_beginning()
    found: list[tuple[float, str]] = []
    while any(consumer.position(part) < end for part, end in ends.items()):
        for some in consumer.poll(timeout_ms=500).values():
            found += [(one.timestamp / 1000, msgspec.json.decode(one.value)["model"]) for one in some]
    consumer.close()
    found.sort()
    return [at for at, _ in found], [version for _, version in found]


def main() -> None:
    """Measure with and without windows, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    made = telemetry(100_000)
    with opened(options.bootstrap_servers) as stage:
        rows = [serve(stage, made, window, options.seconds) for window in (1, WINDOW)]
    header = ["", "memory, MiB", "start to first score, s", "pause at a new model, ms", "longest other pause, ms"]
    text = page.table(header, rows)
    page.show("serving", text, into_page=options.write)


if __name__ == "__main__":
    main()
