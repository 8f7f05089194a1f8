"""Where benchmarks take place: one broker, topics with telemetry in them, models, and workers as jobs."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import GroupIdNotFoundError, RetriableError

from aestream.app import models, topics
from aestream.detector.detector import Detector
from aestream.settings import settings
from tests.bench.jobs import Job
from tests.bench.telemetry import HOSTS, Telemetry
from tests.brokers.apache import ApacheKafka
from tests.stores import put

PARTITIONS = 4
WINDOW = 10
_AT_ONCE = 100_000
CALM = {"OMP_NUM_THREADS": "1", "AESTREAM_HTTP__PORT": "0", "AESTREAM_LOG__LEVEL": "warning"}


@contextlib.contextmanager
def opened(given: str | None) -> Iterator[Stage]:
    """A stage on the broker that was given, or on an Apache Kafka, for as long as this runs."""
    with contextlib.ExitStack() as stack:
        bootstrap = given or stack.enter_context(ApacheKafka()).bootstrap
        yield Stage(bootstrap, Path(stack.enter_context(tempfile.TemporaryDirectory())))


class Stage:
    """One broker, and a folder for models."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self._run = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap)

    def topic(self, partitions: int = PARTITIONS) -> str:
        """Create a topic."""
        name = self.name("topic")
        self._admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
        return name

    def name(self, kind: str) -> str:
        """A name that nothing else on the broker has."""
        return f"bench-{self._run}-{kind}-{next(self._numbers)}"

    def filled(self, made: Telemetry, partitions: int = PARTITIONS) -> str:
        """Create a topic that holds these records."""
        name = self.topic(partitions)
        self.fill(name, made, partitions)
        return name

    def fill(self, topic: str, made: Telemetry, partitions: int = PARTITIONS) -> None:
        """Send these records; a host's are all in one partition."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, batch_size=131_072, linger_ms=20)
        for at, value in enumerate(made.values):
            host = at % HOSTS
            producer.send(topic, value, b"host-%03d" % host, partition=host % partitions)
            if at % _AT_ONCE == 0:
                producer.flush()  # what is not sent yet stays in memory
        producer.flush()
        producer.close()

    def model(self, made: Telemetry, window: int = 1) -> dict[str, str]:
        """Train a model on the recording; return the settings that name it."""
        given = {
            "AESTREAM_MODEL__STORE": str(self.folder / self.name("store")),
            "AESTREAM_FEATURES__WINDOW": str(window),
        }
        with configured(given) as loaded:
            put(models.registry(loaded), learnt(loaded, made, window).save)
        return given

    def worker(self, name: str, source: str, given: Mapping[str, str], *, partitions: int = PARTITIONS) -> Job:
        """A worker with topics and a group of its own; done is what it has committed."""
        group = self.name("group")
        here = {
            **os.environ,
            **CALM,
            "AESTREAM_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "AESTREAM_KAFKA__GROUP_ID": group,
            "AESTREAM_TOPICS__INPUT": source,
            "AESTREAM_TOPICS__SCORES": self.name("scores"),
            "AESTREAM_TOPICS__ANOMALIES": self.name("anomalies"),
            "AESTREAM_TOPICS__DEAD_LETTERS": self.name("dead-letters"),
            "AESTREAM_STATE__TOPIC": self.name("state"),
            **given,
        }
        with configured(here) as loaded:
            topics.create(loaded, partitions=partitions, replication=1, with_input=False)
        return Job(name, [sys.executable, "-m", "aestream", "worker"], here, lambda: self.committed(group, source))

    def ends(self, topic: str, partitions: int = PARTITIONS) -> int:
        """How many messages a topic holds."""
        return sum(self._consumer.end_offsets([TopicPartition(topic, p) for p in range(partitions)]).values())

    def committed(self, group: str, topic: str) -> int:
        """How many records of a topic a group has committed."""
        return sum(self._commits(group, topic))

    def starts(self, group: str, topic: str) -> int:
        """For how many partitions of a topic a group has committed an offset: a worker does before it reads."""
        return len(self._commits(group, topic))

    def _commits(self, group: str, topic: str) -> list[int]:
        try:
            found = self._admin.list_group_offsets([group])[group]
        except (GroupIdNotFoundError, RetriableError):
            return []
        return [place.offset for part, place in found.items() if part.topic == topic and place.offset >= 0]


def learnt(loaded: settings.Settings, made: Telemetry, window: int) -> Detector:
    """A detector that has learnt from the recording."""
    rows = [dict(zip(made.names, row, strict=True)) for row in made.training.tolist()]
    detector = models.new_detector(loaded)
    if window == 1:
        return detector.fit(rows)
    return detector.fit(rows, keys=["host-000"] * len(rows), times=np.arange(len(rows), dtype=float))


@contextlib.contextmanager
def configured(given: Mapping[str, str]) -> Iterator[settings.Settings]:
    """The settings that a program with these variables has."""
    before = dict(os.environ)
    os.environ.update(given)
    try:
        yield settings.load()
    finally:
        os.environ.clear()
        os.environ.update(before)
