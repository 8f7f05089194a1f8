"""What a broker says of topics, and making them, over kafka-python 3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from aestream.transport.kafka_python.errors import Connection, broker_errors
from aestream.transport.kafka_python.records import matching
from aestream.types import TopicState

_COORDINATOR_SECONDS = 15.0
_RETRY_SECONDS = 0.5


class KafkaTopics:
    """Looks at topics and creates them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def describe(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """The topics among `names` (or matching a pattern) that exist. Raises TransportError without a broker."""
        with broker_errors(self._connection):
            admin = KafkaAdminClient(**self._connection)
            try:
                wanted = set(matching(names, admin.list_topics()))
                found = admin.describe_topics()
            finally:
                admin.close()
        return {t["name"]: _state(t) for t in found if t["name"] in wanted}

    def group_allowed(self, group_id: str) -> None:
        """Ask for the group's offsets. Raises TransportError when this user may not use the group."""
        with broker_errors(self._connection):
            admin = KafkaAdminClient(**self._connection)
            deadline = time.monotonic() + _COORDINATOR_SECONDS
            try:
                while True:
                    try:
                        admin.list_group_offsets([group_id])
                    except kafka_errors.RetriableError:  # a fresh broker makes its offsets topic for the first asker
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(_RETRY_SECONDS)
                    else:
                        return
            finally:
                admin.close()

    def create(self, partitions: Mapping[str, int], *, replication: int) -> list[str]:
        """Create the topics that do not exist; return their names. A replication of -1 is the broker's default."""
        missing = sorted(set(partitions) - set(self.describe(list(partitions))))
        if missing:
            options = {"replication_factor": replication}
            with broker_errors(self._connection):
                admin = KafkaAdminClient(**self._connection)
                try:
                    wanted = {name: {"num_partitions": partitions[name], **options} for name in missing}
                    admin.create_topics(wanted, wait_for_metadata=True)
                except kafka_errors.TopicAlreadyExistsError:
                    pass  # somebody else was faster: it is there
                finally:
                    admin.close()
        return missing

    def delete(self, names: Sequence[str], *, group_id: str | None = None) -> None:
        """Delete the topics that exist, and a group without members. Raises TransportError when refused."""
        there = sorted(self.describe(names))
        with broker_errors(self._connection):
            admin = KafkaAdminClient(**self._connection)
            try:
                if there:
                    admin.delete_topics(there)
                if group_id is not None:
                    with contextlib.suppress(kafka_errors.GroupIdNotFoundError):
                        admin.delete_groups([group_id])
            finally:
                admin.close()


def _state(found: Mapping[str, Any]) -> TopicState:
    operations = found.get("topic_authorized_operations")
    told = frozenset(operations) if isinstance(operations, list | tuple | set) else frozenset()
    return TopicState(found["name"], len(found["partitions"]), told or None)
