"""A loop over kafka-python, with the network for each record."""

import sys

import orjson
from detector import Detector
from kafka import KafkaConsumer, KafkaProducer


def main(bootstrap: str, source: str, target: str, model: str) -> None:
    """Score for ever; what a poll gave is flushed, then committed."""
    detector = Detector(model)
    consumer = KafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=f"{target}-group",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=1000,
        value_deserializer=orjson.loads,
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, value_serializer=orjson.dumps)
    while True:
        polled = consumer.poll(timeout_ms=500)
        for records in polled.values():
            for record in records:
                (error,) = detector.errors([record.value])
                result = detector.result(error, record.topic, record.partition, record.offset)
                producer.send(target, result, record.key, partition=record.partition)
        if polled:
            producer.flush()
            consumer.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
