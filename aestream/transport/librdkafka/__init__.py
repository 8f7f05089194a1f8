"""The transport over librdkafka, by way of confluent-kafka: the extra `confluent`."""

from aestream.transport.librdkafka.options import problem, untranslated
from aestream.transport.librdkafka.sink import ConfluentSink
from aestream.transport.librdkafka.source import ConfluentSource
from aestream.transport.librdkafka.transactions import TransactionalConfluentSink

__all__ = ["ConfluentSink", "ConfluentSource", "TransactionalConfluentSink", "problem", "untranslated"]
