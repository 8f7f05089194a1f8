"""A loop over confluent-kafka, with the network for each record, for each batch, or with PyOD for each batch."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer
from detector import Detector

BATCH = 1000


def main(bootstrap: str, source: str, target: str, model: str, how: str) -> None:
    """Score for ever; a batch is flushed, then committed. `how`: each, batch or pyod."""
    detector = Detector(model)
    errors = {"each": one_by_one(detector), "batch": detector.errors, "pyod": with_pyod(detector, model)}[how]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{target}-group",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([source])
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True})
    while True:
        messages = [message for message in consumer.consume(BATCH, timeout=0.5) if message.error() is None]
        found = errors([orjson.loads(message.value()) for message in messages]) if messages else []
        for message, error in zip(messages, found, strict=True):
            result = detector.result(error, message.topic(), message.partition(), message.offset())
            producer.produce(target, orjson.dumps(result), message.key(), message.partition())
        if messages:
            producer.flush()
            consumer.commit(asynchronous=False)


def one_by_one(detector: Detector) -> Callable[[Sequence[Mapping[str, Any]]], list[float]]:
    """The network for each record."""
    return lambda records: [detector.errors([record])[0] for record in records]


def with_pyod(detector: Detector, model: str) -> Callable[[Sequence[Mapping[str, Any]]], list[float]]:
    """PyOD's isolation forest, fitted to the same rows."""
    import numpy as np  # noqa: PLC0415
    from pyod.models.iforest import IForest  # noqa: PLC0415

    rows = np.load(f"{model}.npz")["rows"]
    forest = IForest(random_state=0).fit(rows)
    detector.threshold = float(forest.threshold_)

    def errors(records: Sequence[Mapping[str, Any]]) -> list[float]:
        matrix = np.array([[record[name] for name in detector.names] for record in records])
        found: list[float] = forest.decision_function(matrix).tolist()
        return found

    return errors


if __name__ == "__main__":
    main(*sys.argv[1:])
