"""Settings into the clients of Kafka: what is read, what is written, and what the broker says of topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr

from aestream.errors import ConfigurationError
from aestream.metrics import WorkerMetrics
from aestream.settings import Settings
from aestream.transport.kafka_python.history import KafkaHistory
from aestream.transport.kafka_python.sink import KafkaSink
from aestream.transport.kafka_python.source import KafkaSource
from aestream.transport.kafka_python.topics import KafkaTopics

_CONNECTION = (
    "bootstrap_servers", "client_id", "security_protocol", "sasl_mechanism", "sasl_plain_username",
    "sasl_plain_password", "sasl_kerberos_name", "sasl_kerberos_service_name", "sasl_kerberos_domain_name",
    "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_crlfile", "ssl_ciphers", "ssl_check_hostname",
    "request_timeout_ms", "bootstrap_timeout_ms",
)  # fmt: skip
_CONSUMER = (
    "group_instance_id", "auto_offset_reset", "isolation_level", "session_timeout_ms", "heartbeat_interval_ms",
    "max_poll_interval_ms", "fetch_min_bytes", "fetch_max_wait_ms", "max_partition_fetch_bytes",
)  # fmt: skip
_PRODUCER = ("batch_size", "linger_ms", "compression_type")


def connection(settings: Settings) -> dict[str, Any]:
    """What every Kafka client needs to connect, under kafka-python's names."""
    return _chosen(settings, _CONNECTION)


def topics(settings: Settings) -> KafkaTopics:
    """What the broker says of topics."""
    return KafkaTopics(connection(settings))


def group_id(settings: Settings) -> str:
    """The workers' consumer group. Raises ConfigurationError where none is set and no single topic gives its name."""
    names = settings.topics.input
    if settings.kafka.group_id is not None:
        return settings.kafka.group_id
    if len(names) != 1 or names[0].startswith("^"):
        raise ConfigurationError(
            "AESTREAM_KAFKA__GROUP_ID is not set, and AESTREAM_TOPICS__INPUT does not name a single topic to call the "
            "group after: choose a name, the same for all workers of this input"
        )
    return f"aestream-{names[0]}"


def source(settings: Settings, metrics: WorkerMetrics) -> KafkaSource:
    """The input topics, read as a member of the group."""
    return KafkaSource(
        settings.topics.input,
        connection=connection(settings),
        group_id=group_id(settings),
        max_records=settings.worker.max_batch_records,
        max_wait=settings.worker.max_batch_wait,
        on_rebalance=lambda event: metrics.rebalances.labels(event).inc(),
        on_missed=lambda topic, records: metrics.records_missed.labels(topic).inc(records),
        fetch_max_bytes=settings.worker.max_batch_bytes,
        **_chosen(settings, _CONSUMER),
    )


def history(settings: Settings, names: Sequence[str]) -> KafkaHistory:
    """The past of topics, read outside of any group."""
    return KafkaHistory(
        names,
        connection=connection(settings),
        max_records=settings.worker.max_batch_records,
        isolation_level=settings.kafka.isolation_level,
    )


def sink(settings: Settings) -> KafkaSink:
    """What results are written with."""
    return KafkaSink(
        connection=connection(settings),
        max_request_size=settings.kafka.max_request_size,
        **_chosen(settings, _PRODUCER),
    )


def _chosen(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Settings of the Kafka client by name, without those that are not set; secrets in the clear."""
    values = {name: getattr(settings.kafka, name) for name in names}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in values.items()
        if value is not None
    }
