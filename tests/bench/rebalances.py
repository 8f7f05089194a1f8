"""How long scores pause while a worker joins its group, and while it leaves: of partitions that stay, and that move.

    python -m tests.bench.rebalances [--turns 3] [--write]

Four partitions get 200 records a second each. One worker has them all; a second one takes two of them over, and gives
them back when it is stopped in order. A pause is the longest time between two scores of a partition, by the times that
the workers gave them; some milliseconds lie between two batches at any time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from tests.bench import page
from tests.bench.compared import CLIENTS
from tests.bench.jobs import Job, Spread, running, wait
from tests.bench.stage import PARTITIONS, Stage, opened
from tests.bench.telemetry import telemetry

RATE = 200 * PARTITIONS  # records a second
CALM_SECONDS = 5.0  # before, between and after the two rebalances
MOST_RECORDS = RATE * 600
NAMES = ("no rebalance", "join: stay", "join: move", "leave: stay", "leave: move")


@dataclass(frozen=True)
class Turn:
    """When a second worker was started and stopped, in seconds of the clock, and which partitions it had."""

    began: float
    joined: float
    left: float
    ended: float
    moved: Collection[int]

    def pauses(self, scores: Sequence[Sequence[float]]) -> tuple[float, ...]:
        """The longest time between two scores, in seconds, as in NAMES; `scores`: their times, by partition."""
        stay = [times for number, times in enumerate(scores) if number not in self.moved]
        move = [scores[number] for number in self.moved]
        times = ((self.began, self.joined), (self.joined, self.left), (self.left, self.ended))
        calm, join, leave = times
        return (
            longest(scores, *calm),
            longest(stay, *join),
            longest(move, *join),
            longest(stay, *leave),
            longest(move, *leave),
        )


def longest(scores: Sequence[Sequence[float]], start: float, end: float) -> float:
    """The longest of the times between two scores of one partition, of those that end between two moments."""
    return max(later - one for times in scores for one, later in pairwise(times) if start < later < end)


def turn(job: Job, admin: KafkaAdminClient) -> Turn:
    """Let a second worker of a job come and go."""
    group = job.environment["AESTREAM_KAFKA__GROUP_ID"]

    def shares() -> dict[str, list[int]]:
        return {
            member["member_id"]: [
                p for part in member["member_assignment"]["assigned_partitions"] for p in part["partitions"]
            ]
            for member in admin.describe_groups([group])[group]["members"]
            if member["member_assignment"]
        }

    first, began = shares().keys(), time.time()
    time.sleep(CALM_SECONDS)
    joined = time.time()
    with running(job) as second:
        wait(lambda: [len(parts) for parts in shares().values()] == [PARTITIONS // 2] * 2, second)
        (moved,) = (parts for name, parts in shares().items() if name not in first)
        time.sleep(CALM_SECONDS)
        left = time.time()
    time.sleep(CALM_SECONDS)
    return Turn(began, joined, left, time.time(), moved)


def times_of(bootstrap: str, topic: str) -> Sequence[Sequence[float]]:
    """When the scores in a topic were given, in seconds of the clock, by partition."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", max_poll_records=10_000)
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning()
    found: dict[TopicPartition, list[float]] = {place: [] for place in places}
    while some := consumer.poll(timeout_ms=2_000):
        for place, records in some.items():
            found[place] += [record.timestamp / 1000 for record in records]
    consumer.close()
    return [found[place] for place in places]


def measure(stage: Stage, job: Job, turns: int) -> Sequence[Spread]:
    """Let a second worker come and go so many times; return the pauses."""
    topic = job.environment["AESTREAM_TOPICS__INPUT"]
    admin = KafkaAdminClient(bootstrap_servers=stage.bootstrap)
    feed = [sys.executable, "-m", "tests.bench.latency", "--feed", topic, str(RATE), str(MOST_RECORDS)]
    with running(job) as worker:
        wait(lambda: stage.starts(job.environment["AESTREAM_KAFKA__GROUP_ID"], topic) == PARTITIONS, worker)
        feeder = subprocess.Popen([*feed, "--bootstrap-servers", stage.bootstrap])
        try:
            found = [turn(job, admin) for _ in range(turns)]
        finally:
            feeder.terminate()
            feeder.wait()
            admin.close()
    scores = times_of(stage.bootstrap, job.environment["AESTREAM_TOPICS__SCORES"])
    return [Spread.of(pauses) for pauses in zip(*(one.pauses(scores) for one in found), strict=True)]


def rows(stage: Stage, turns: int) -> Iterator[Sequence[str]]:
    """Each client, with both kinds of delivery."""
    model = stage.model(telemetry(1_000))
    for client in CLIENTS:
        for delivery in ("at_least_once", "exactly_once"):
            given = {**model, "AESTREAM_KAFKA__CLIENT": client, "AESTREAM_DELIVERY": delivery}
            name = f"{client}, {delivery.replace('_', ' ')}"
            found = measure(stage, stage.worker(name, stage.topic(), given), turns)
            yield name, *(pause.told(unit=1000) for pause in found)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    with opened(options.bootstrap_servers) as stage:
        found = list(rows(stage, options.turns))
    text = page.table(["longest pause, ms", *NAMES], found)
    page.show("rebalances", text, into_page=options.write)


if __name__ == "__main__":
    main()
