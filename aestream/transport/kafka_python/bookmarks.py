"""How far a command has got in a topic: offsets of a group that nobody joins, over kafka-python 3."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kafka import KafkaConsumer, TopicPartition

from aestream.transport.base import TransactionalSink
from aestream.transport.kafka_python.errors import broker_errors
from aestream.transport.kafka_python.member import in_kafkas_terms
from aestream.transport.wording import Connection
from aestream.types import Partition


class KafkaBookmarks:
    """The offsets of a group, each with a note."""

    def __init__(self, group_id: str, *, connection: Connection) -> None:
        self._group_id = group_id
        self._connection = connection

    def read(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, str]]:
        """Read the offsets and notes of these partitions, of those that have one.

        Waits for the end of a transaction that moves them. Raises TransportError when they cannot be read.
        """
        with broker_errors(self._connection):
            consumer = KafkaConsumer(
                **self._connection,
                group_id=self._group_id,
                enable_auto_commit=False,
                isolation_level="read_committed",  # so that offsets of an open transaction are waited for
            )
            try:
                found = {part: consumer.committed(TopicPartition(*part), metadata=True) for part in partitions}
            finally:
                consumer.close(autocommit=False)
        return {part: (place.offset, place.metadata or "") for part, place in found.items() if place is not None}

    def move(self, places: Mapping[Partition, tuple[int, str]], within: TransactionalSink) -> None:
        """Commit the messages of a transaction with these offsets and notes. Raises what `within.commit` raises."""
        with broker_errors(self._connection):
            within.commit(in_kafkas_terms(places), self._group_id)
