"""How long a killed worker holds up those who read committed messages, with and without a permanent name.

    python -m tests.bench.holdup

A worker that delivers exactly once is killed while a transaction is open; the time from there to its end is printed.
With a permanent name, another worker is started at once, and the time includes its start. The broker, Apache Kafka, has
its defaults.
"""

from __future__ import annotations

import random
import tempfile
import time
from functools import partial
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from rich.console import Console

from tests.brokers.apache import ApacheKafka
from tests.kafka import records
from tests.kafka.cluster import Cluster, wait_for
from tests.kafka.conftest import settings_for
from tests.kafka.service import Service

RECORDS = 20_000
TURNS = 3
console = Console()


def main() -> None:
    """Kill workers until some were killed in the middle of a transaction."""
    rng, values = random.Random(1), records.values(RECORDS)
    with ApacheKafka() as kafka, tempfile.TemporaryDirectory() as place:
        folder, cluster = Path(place), Cluster(kafka.bootstrap)
        records.train(folder / "trained")
        topic = cluster.topic()
        settings = settings_for(cluster, folder / "trained", folder, topic)
        settings |= {"delivery": "exactly_once", "kafka__session_timeout_ms": "45000"}
        part = TopicPartition(settings["topics__scores"], 0)
        committed, stored = (
            KafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level=level)
            for level in ("read_committed", "read_uncommitted")
        )

        def end(reader: KafkaConsumer) -> int:
            return int(reader.end_offsets([part])[part])

        def reached(last: int) -> bool:
            return end(committed) >= last

        for name in ("", "one"):
            given = settings | {"kafka__group_instance_id": name}
            turns = 0
            while turns < TURNS:
                cluster.send(topic, values)
                before = end(stored)
                with Service(["worker"], settings=given, folder=folder) as worker:
                    worker.until("results", lambda before=before: end(stored) > before)
                    time.sleep(rng.uniform(0, 0.15))
                    worker.kill()
                killed, last = time.monotonic(), end(stored)
                if end(committed) >= last:
                    continue  # between two transactions
                turns += 1
                with Service(["worker"], settings=given, folder=folder) if name else tempfile.TemporaryFile():
                    wait_for("the end", partial(reached, last))
                    console.print(f"{name or 'no'} permanent name: {time.monotonic() - killed:.1f} s")
        for opened in (cluster, committed, stored):
            opened.close()


if __name__ == "__main__":
    main()
