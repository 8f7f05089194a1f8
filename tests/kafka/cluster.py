"""A real cluster as the tests use it: fresh topics, records in, results out, committed offsets."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import GroupIdNotFoundError, KafkaError, RetriableError

SECONDS = 90.0
_NO_LIMIT = str(2**63 - 1)


def wait_for(what: str, check: Callable[[], Any], *, seconds: float = SECONDS, context: Callable[[], str] = str) -> Any:
    """Poll until `check` returns something true, and return it; fail with `context` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{context()}")
        time.sleep(0.05)
    return found


class Cluster:
    """One broker's topics. Every name it gives is fresh."""

    def __init__(self, bootstrap: str, *, replicas: int = 1) -> None:
        self.bootstrap = bootstrap
        self._replicas = replicas
        self._producer = self._new_producer()
        self._reader = KafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            max_poll_records=20_000,
            isolation_level="read_committed",  # what those see who are to see each result once
        )
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def close(self) -> None:
        self._producer.close()
        self._reader.close()
        self.admin.close()

    def name(self, kind: str) -> str:
        return f"{kind}-{uuid.uuid4().hex[:10]}"

    def topic(self, kind: str = "input", *, partitions: int = 1, compacted: bool = False) -> str:
        """Create a topic that takes any timestamp."""
        name = self.name(kind)
        configs = {"message.timestamp.after.max.ms": _NO_LIMIT, "message.timestamp.before.max.ms": _NO_LIMIT}
        configs |= {"cleanup.policy": "compact"} if compacted else {}
        wanted = {name: {"num_partitions": partitions, "replication_factor": self._replicas, "configs": configs}}
        self.admin.create_topics(wanted, wait_for_metadata=True)
        return name

    def add_partitions(self, topic: str, count: int) -> None:
        """Let a topic have so many partitions, and the producer know it."""
        self.admin.create_partitions({topic: count})
        self._producer.close()
        self._producer = self._new_producer()
        wait_for("the new partitions", lambda: len(self._producer.partitions_for(topic)) == count)

    def _new_producer(self) -> KafkaProducer:
        return KafkaProducer(bootstrap_servers=self.bootstrap, max_request_size=4_000_000)

    def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: int | None = None,
    ) -> None:
        """Produce records and wait until they are stored."""
        futures = [
            self._producer.send(
                topic, value, keys[i] if keys else b"k%d" % (i % 17), list(headers), partition, timestamp
            )
            for i, value in enumerate(values)
        ]
        self._producer.flush(timeout=SECONDS)
        assert all(future.succeeded() for future in futures)

    def post(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        partition: int,
    ) -> None:
        """Produce one record; it is stored once `flush` has returned."""
        self._producer.send(topic, value, key, list(headers), partition)

    def flush(self) -> None:
        """Wait until what was posted is stored."""
        self._producer.flush(timeout=SECONDS)

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of every partition, as soon as the broker says so."""

        def look() -> dict[int, int] | None:
            try:
                (known,) = self.admin.describe_topics([topic])  # the reader may not know of new partitions yet
                partitions = sorted(partition["partition_index"] for partition in known["partitions"])
                found = self._reader.end_offsets([TopicPartition(topic, p) for p in partitions])
            except (KafkaError, KeyError):  # KeyError: of a partition that is so new that it has no leader
                return None
            return {partition.partition: end for partition, end in found.items()}

        deadline = time.monotonic() + SECONDS
        while (found := look()) is None:
            assert time.monotonic() < deadline, f"no broker says where {topic} ends"
            time.sleep(0.05)
        return found

    def count(self, topic: str) -> int:
        return sum(self.ends(topic).values())

    def read(self, topic: str) -> list[Any]:
        """Everything in a topic, partition after partition."""
        ends = {TopicPartition(topic, p): end for p, end in self.ends(topic).items() if end}
        self._reader.assign(list(ends))
        found: dict[TopicPartition, list[Any]] = {partition: [] for partition in ends}
        for partition in ends:
            self._reader.seek(partition, 0)
        deadline = time.monotonic() + SECONDS
        while any(self._reader.position(partition) < end for partition, end in ends.items()):
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
            for partition, records in self._reader.poll(timeout_ms=500).items():
                found[partition] += records
        return [record for partition in sorted(ends) for record in found[partition]]

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed; nothing while the broker cannot say."""
        try:
            found = self.admin.list_group_offsets([group])[group]
        except (RetriableError, GroupIdNotFoundError):
            self._forget_coordinators()
            return {}
        return {tp.partition: meta.offset for tp, meta in found.items() if tp.topic == topic and meta.offset >= 0}

    def coordinator(self, group: str) -> int | None:
        """The number of the broker that coordinates a group; None while the brokers cannot say."""
        self._forget_coordinators()
        try:
            found = self.admin._manager.run(self.admin._find_coordinator_ids, [group])
        except KafkaError:
            return None
        return int(found[group]) if group in found else None

    def _forget_coordinators(self) -> None:
        """Let the client ask again: it believes for good what it was told once."""
        self.admin._manager.cluster._coordinators.clear()

    def members(self, group: str) -> int:
        """How many members a group has."""
        return len(self.admin.describe_groups([group])[group]["members"])


def score_of(record: Any) -> dict[str, Any]:
    """The JSON of a result."""
    found: dict[str, Any] = json.loads(record.value)
    return found


def place_of(score: Mapping[str, Any]) -> tuple[str, int, int]:
    """Where the record of a score came from."""
    source = score["source"]
    return source["topic"], source["partition"], source["offset"]
