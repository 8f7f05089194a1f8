"""aestream's settings of a Kafka client, which have kafka-python's names, as librdkafka's."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from aestream.errors import ConfigurationError
from aestream.transport.librdkafka.tokens import token_callback
from aestream.transport.wording import Connection

_log = logging.getLogger("kafka.librdkafka")  # a child of the logger that `hear_client` opens

_REFRESH_MS = 30_000  # how soon new partitions, and new topics that a pattern matches, are seen
_FULL_MS = 5  # how soon it is looked whether there is room again for what is fetched ahead; a second by default
_KBYTES = 1024
_LEAST_BYTES = 1000
_MOST_BYTES = 2**30 - 1  # librdkafka takes no more
_LARGEST_BYTES = 100_000_000  # a single record larger than a fetch comes all the same


def _host_check(wanted: Any) -> str:
    return "https" if wanted else "none"


_NAMES: Mapping[str, str] = {
    "bootstrap_servers": "bootstrap.servers",
    "client_id": "client.id",
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "sasl_kerberos_name": "sasl.kerberos.principal",
    "sasl_kerberos_service_name": "sasl.kerberos.service.name",
    "sasl_oauth_token_provider": "oauth_cb",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_ciphers": "ssl.cipher.suites",
    "ssl_check_hostname": "ssl.endpoint.identification.algorithm",
    "request_timeout_ms": "socket.timeout.ms",
    "group_id": "group.id",
    "group_instance_id": "group.instance.id",
    "isolation_level": "isolation.level",
    "session_timeout_ms": "session.timeout.ms",
    "heartbeat_interval_ms": "heartbeat.interval.ms",
    "max_poll_interval_ms": "max.poll.interval.ms",
    "fetch_min_bytes": "fetch.min.bytes",
    "fetch_max_wait_ms": "fetch.wait.max.ms",
    "max_partition_fetch_bytes": "max.partition.fetch.bytes",
    "max_request_size": "message.max.bytes",
    "batch_size": "batch.size",
    "linger_ms": "linger.ms",
    "compression_type": "compression.type",
    "transactional_id": "transactional.id",
    "transaction_timeout_ms": "transaction.timeout.ms",
}
_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "bootstrap_servers": ",".join,
    "ssl_check_hostname": _host_check,
    "sasl_oauth_token_provider": token_callback,
}
_OURS = frozenset({"bootstrap_timeout_ms", "librdkafka"})  # what aestream itself makes use of

_DECIDED_FOR_READING = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # Places chooses
    "enable.partition.eof": True,  # tells how far a partition is read, markers of transactions included
    "partition.assignment.strategy": "cooperative-sticky",
    "group.protocol": "classic",
    "allow.auto.create.topics": False,
    "topic.metadata.refresh.interval.ms": _REFRESH_MS,
    "fetch.queue.backoff.ms": _FULL_MS,
    "statistics.interval.ms": 1000,  # tells whether this member is in its group
}
_DECIDED_FOR_WRITING = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.report.only.error": True,
    "partitioner": "murmur2_random",  # as kafka-python, and Kafka's own client, choose a partition by key
    "queue.buffering.max.messages": 0,  # a batch is handed over as a whole, and is bounded by itself
    "queue.buffering.max.kbytes": 2**31 - 1,
}
_ALIASES = frozenset(
    {
        "metadata.broker.list", "request.required.acks", "delivery.timeout.ms", "message.timeout.ms", "retries",
        "message.send.max.retries", "sasl.mechanisms", "fetch.message.max.bytes", "compression.codec",
        "queue.buffering.max.ms", "enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm",
        "fetch.max.bytes", "receive.message.max.bytes", "logger", "error_cb", "stats_cb", "throttle_cb",
        "on_delivery", "on_commit", "log_cb", "plugin.library.paths",
    }
)  # fmt: skip
_DECIDED = frozenset({*_NAMES.values(), *_DECIDED_FOR_READING, *_DECIDED_FOR_WRITING}) | _ALIASES


def problem(own: Mapping[str, str]) -> str | None:
    """What is wrong with options of librdkafka's own: another setting, or aestream itself, decides one of them."""
    ours = {theirs: name for name, theirs in _NAMES.items() if name != "transactional_id"}
    for option in own:
        if option in ours:
            return f"{option} cannot be set here: set `{ours[option]}`"
        if option in _DECIDED:
            return f"{option} cannot be set: aestream decides it"
    return None


def untranslated(settings: Mapping[str, Any]) -> str | None:
    """The first of these settings that librdkafka has nothing for; None if it has all."""
    return next((name for name in settings if name not in _NAMES and name not in _OURS), None)


def reading(connection: Connection, *, max_bytes: int, **settings: Any) -> dict[str, Any]:
    """The options of a consumer; about twice `max_bytes` wait in it to be read."""
    fetch = min(max(max_bytes, _LEAST_BYTES), _MOST_BYTES)
    return {
        **_options({**connection, **settings}),
        **_DECIDED_FOR_READING,
        "fetch.max.bytes": fetch,
        "message.max.bytes": _LEAST_BYTES,  # of a consumer: no more than `fetch.max.bytes`, and without effect
        "receive.message.max.bytes": fetch + _LARGEST_BYTES,
        "queued.max.messages.kbytes": max(2 * fetch // _KBYTES, 1),
        **connection.get("librdkafka", {}),
    }


def writing(connection: Connection, **settings: Any) -> dict[str, Any]:
    """The options of a producer; in a transaction, a request takes no longer than that."""
    chosen = {**connection, **settings}
    if "transaction_timeout_ms" in chosen:
        longest = chosen["transaction_timeout_ms"]
        chosen["request_timeout_ms"] = min(chosen.get("request_timeout_ms", longest), longest)
    return {**_options(chosen), **_DECIDED_FOR_WRITING, **connection.get("librdkafka", {})}


def _options(settings: Connection) -> dict[str, Any]:
    """Each setting under librdkafka's name. Raises ConfigurationError for one that has none."""
    unknown, wrong = untranslated(settings), problem(settings.get("librdkafka", {}))
    if unknown is not None:
        raise ConfigurationError(f"librdkafka knows no `{unknown}`: leave it out, or set `client` to kafka-python")
    if wrong is not None:
        raise ConfigurationError(f"`librdkafka`: {wrong}")
    options = {
        _NAMES[name]: _VALUES.get(name, _as_it_is)(value) for name, value in settings.items() if name not in _OURS
    }
    if str(settings.get("security_protocol", "")).endswith("SSL"):
        options.setdefault("ssl.ca.location", _trusted())
        if "ssl_certfile" in settings:  # one file may hold both
            options.setdefault("ssl.key.location", settings["ssl_certfile"])
    else:
        options = {option: value for option, value in options.items() if not option.startswith("ssl.")}
    return {**options, "logger": _Log()}


def _as_it_is(value: Any) -> Any:
    return value


def _trusted() -> str:
    """The authorities that the system trusts: librdkafka brings an OpenSSL of its own, which does not know where."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or "probe"


class _Log:
    """Logs what librdkafka reports, each kind of line as one kind."""

    def log(self, level: int, _line: str, kind: str, _client: str, text: str) -> None:
        """Log one line of the client."""
        if kind != "CONFWARN":  # one mapping holds the options of consumers and of producers
            _log.log(level, f"{kind}: %s", text)
