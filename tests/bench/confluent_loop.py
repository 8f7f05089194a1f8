"""What librdkafka costs by itself: consume, produce a score-sized message for every record, flush, commit; no more."""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, Producer

from aestream.service import garbage
from tests.bench.copy_loop import SCORE


def main(bootstrap: str, source: str, target: str) -> None:
    """Copy for ever; whoever started this ends it."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{target}-copy",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([source])
    producer = Producer(
        {"bootstrap.servers": bootstrap, "batch.size": 131_072, "linger.ms": 5, "enable.idempotence": True}
    )
    garbage.settle()
    while True:
        found = consumer.consume(5_000, 0.02)
        for message in found:
            producer.produce(target, SCORE, message.key(), message.partition())
        if found:
            producer.flush()
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
