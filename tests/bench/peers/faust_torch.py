"""Faust: an agent over the stream, with the network for each record."""

import sys
from typing import Any

import faust
from detector import Detector


def main(bootstrap: str, source: str, target: str, model: str) -> None:
    """Score for ever."""
    detector = Detector(model)
    app = faust.App(
        f"{target}-app",
        broker=f"kafka://{bootstrap}",
        value_serializer="json",
        web_enabled=False,
        topic_partitions=4,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        datadir=f"/tmp/{target}",  # noqa: S108 - a name of this run alone
    )
    results = app.topic(target, value_serializer="json")

    @app.agent(app.topic(source, value_serializer="json"))  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> None:
        async for event in stream.events():
            (error,) = detector.errors([event.value])
            message = event.message
            await results.send(
                key=event.key, value=detector.result(error, message.topic, message.partition, message.offset)
            )

    faust.Worker(app, loglevel="warning").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
