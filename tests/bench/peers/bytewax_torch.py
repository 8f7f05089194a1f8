"""Bytewax: a dataflow from Kafka to Kafka, with the network for each batch that its source gives."""

import sys
from datetime import timedelta

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from detector import Detector


def main(bootstrap: str, source: str, target: str, model: str) -> None:
    """Score for ever. Its source keeps offsets in a recovery store, not in the group: this one keeps none."""
    detector = Detector(model)

    def score(messages: list[KafkaSourceMessage]) -> list[KafkaSinkMessage]:
        errors = detector.errors([orjson.loads(message.value) for message in messages])
        return [
            KafkaSinkMessage(
                message.key,
                orjson.dumps(detector.result(error, message.topic, message.partition, message.offset)),
            )
            for message, error in zip(messages, errors, strict=True)
        ]

    flow = Dataflow("bench")
    records = kop.input("records", flow, brokers=[bootstrap], topics=[source], batch_size=1000)
    results = op.flat_map_batch("score", records.oks, score)
    kop.output("scores", results, brokers=[bootstrap], topic=target)
    cli_main(flow, epoch_interval=timedelta(seconds=5))


if __name__ == "__main__":
    main(*sys.argv[1:])
