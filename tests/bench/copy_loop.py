"""What kafka-python costs by itself: poll, send a score-sized message for every record, flush, commit; nothing else."""

from __future__ import annotations

import sys

from kafka import KafkaConsumer, KafkaProducer

from aestream.service import garbage

SCORE = (
    b'{"score":0.2607415965148488,"anomaly":false,"error":1.6198405174483306,"threshold":6.212436140223155,'
    b'"p_value":0.08839428708277183,"status":"scored","model":"default@20261122T222636Z","source":{"topic":"input",'
    b'"partition":0,"offset":2711,"timestamp":1795386409173},"key":null}'
)


def main(bootstrap: str, source: str, target: str) -> None:
    """Copy for ever; whoever started this ends it."""
    consumer = KafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=f"{target}-copy",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=5_000,
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap, batch_size=131_072, linger_ms=5)
    garbage.settle()
    while True:
        polled = consumer.poll(timeout_ms=500)
        for (_, partition), found in polled.items():
            for record in found:
                producer.send(target, SCORE, record.key, partition=partition)
        if polled:
            producer.flush()
            consumer.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
