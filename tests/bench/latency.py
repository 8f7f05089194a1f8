"""End-to-end latency: from a record's creation until a consumer with a tight poll has its score.

    python -m tests.bench.latency [--seconds 20] [--write]

One worker, over each client, at least once and exactly once, at 1 and 10 records a second and at 10, 50 and 80 % of
what it takes when records wait for it. A process of its own creates the records in time, those of a millisecond
together, without lingering; this one, over librdkafka as well, reads the scores, from 1,000 records a second on those
of one of the four partitions. The key of a record is its time of creation: the three processes are on one machine, and
have one clock. They share its cores, too, with the broker: a quiet machine with four cores or more shows the worker
alone. The first lines are the floor: the records themselves, without a worker.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.bench import page
from tests.bench.compared import CLIENTS
from tests.bench.jobs import running, timed, wait
from tests.bench.stage import PARTITIONS, Stage, opened
from tests.bench.telemetry import telemetry

QUIET = (1, 10)  # records a second
SHARES = (0.1, 0.5, 0.8)  # of the most that a worker takes
MOST_RECORDS = 200_000  # of one line
DIFFERENT = 2_000  # values that come again and again
SAMPLED = 1_000  # records a second from which on one partition is read
AT_ONCE = 10_000  # messages
TICK_SECONDS = 0.001
WARM_UP_SECONDS = 2.0
START_SECONDS = 60.0


@dataclass(frozen=True)
class Row:
    """One line of the table; the latencies are in milliseconds."""

    name: str
    rate: float  # records a second
    count: int
    p50: float
    p99: float
    p999: float


def feed(bootstrap: str, topic: str, rate: float, count: int) -> None:
    """Create `count` records, each one in its time, spread over the partitions."""
    values = itertools.cycle(telemetry(min(count, DIFFERENT)).values)
    # Five requests at once, as other clients have: while the broker is busy, more records wait for the next one.
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "max.in.flight": 5})
    producer.list_topics(topic)
    start, made = time.monotonic(), 0
    while made < count:
        due = min(int((time.monotonic() - start) * rate) + 1, count)
        for number in range(made, due):
            producer.produce(topic, next(values), b"%d" % time.time_ns(), partition=number % PARTITIONS)
        made = due
        producer.poll(0)
        time.sleep(max(start + made / rate - time.monotonic(), TICK_SECONDS))
    producer.flush()


def measure(name: str, bootstrap: str, source: str, target: str, rate: float, seconds: float) -> Row:
    """Feed `source` for so many seconds while reading `target`."""
    count = min(int(rate * (seconds + WARM_UP_SECONDS)), MOST_RECORDS)
    partitions = range(1) if rate >= SAMPLED else range(PARTITIONS)
    consumer = reader(bootstrap, target, partitions)
    expected = len(range(0, count, PARTITIONS)) if len(partitions) == 1 else count
    command = [sys.executable, "-m", "tests.bench.latency", "--feed", source, str(rate), str(count)]
    feeder = subprocess.Popen([*command, "--bootstrap-servers", bootstrap])
    created: list[int] = []
    arrived: list[int] = []
    try:
        deadline = time.monotonic() + START_SECONDS + 2 * count / rate
        while len(created) < expected:
            some = consumer.consume(AT_ONCE, timeout=TICK_SECONDS)
            now = time.time_ns()
            created += [int(message.key()) for message in some]
            arrived += [now] * len(some)
            if time.monotonic() > deadline:
                sys.exit(f"{name}: {len(created)} of {expected} came in time")
    finally:
        feeder.terminate()
        feeder.wait()
        consumer.close()
    made = np.array(created)
    took = (np.array(arrived) - made)[made >= made.min() + WARM_UP_SECONDS * 1e9] / 1e6
    p50, p99, p999 = np.percentile(took, [50, 99, 99.9])
    return Row(name, rate, len(took), float(p50), float(p99), float(p999))


def reader(bootstrap: str, topic: str, partitions: Iterable[int]) -> Consumer:
    """A consumer of what comes from now on, that waits for nothing."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": topic,  # nothing is committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    })  # fmt: skip
    places = [TopicPartition(topic, number) for number in partitions]
    for place in places:
        place.offset = end(consumer, place)
    consumer.assign(places)
    return consumer


def end(consumer: Consumer, place: TopicPartition) -> int:
    """Where a partition ends, as soon as it has a leader."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            offset: int = consumer.get_watermark_offsets(place)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(TICK_SECONDS)
        else:
            return offset


def rows(stage: Stage, *, seconds: float, count: int = 100_000) -> Iterator[Row]:
    """Measure for about so many seconds a line; the most that a worker takes is measured with `count` records."""
    made = telemetry(count)
    model, full, fresh = stage.model(made), stage.filled(made), stage.topic()
    for rate in (QUIET[-1], SAMPLED):
        yield measure("no worker", stage.bootstrap, fresh, fresh, rate, seconds)
    for client, delivery in itertools.product(CLIENTS, ("at_least_once", "exactly_once")):
        given = {**model, "AESTREAM_KAFKA__CLIENT": client, "AESTREAM_DELIVERY": delivery}
        name = f"{client}, {delivery.replace('_', ' ')}"
        most = timed(stage.worker(name, full, given), count).rate
        fresh = stage.topic()
        job = stage.worker(name, fresh, given)
        with running(job) as worker:
            wait(lambda: stage.starts(job.environment["AESTREAM_KAFKA__GROUP_ID"], fresh) == PARTITIONS, worker)  # noqa: B023
            for rate in QUIET:
                yield measure(name, stage.bootstrap, fresh, job.environment["AESTREAM_TOPICS__SCORES"], rate, seconds)
            for share in SHARES:
                what, scores = f"{name}, {share:.0%} of {most:,.0f}/s", job.environment["AESTREAM_TOPICS__SCORES"]
                yield measure(what, stage.bootstrap, fresh, scores, share * most, seconds)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    parser.add_argument("--feed", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        topic, rate, count = options.feed
        feed(options.bootstrap_servers, topic, float(rate), int(count))
        return
    lines = []
    with opened(options.bootstrap_servers) as stage:
        for row in rows(stage, seconds=options.seconds):
            figures = (f"{figure:.1f}" for figure in (row.p50, row.p99, row.p999))
            lines.append([row.name, f"{row.rate:,.0f}", f"{row.count:,}", *figures])
            print(row, file=sys.stderr, flush=True)
    text = page.table(["", "records/s", "measured", "p50, ms", "p99, ms", "p99.9, ms"], lines)
    page.show("latency", text, into_page=options.write)


if __name__ == "__main__":
    main()
