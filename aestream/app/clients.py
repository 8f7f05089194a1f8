"""Turns settings, once checked, into Kafka clients: to read, to write, and to describe and create topics."""

from __future__ import annotations

import importlib.util
import itertools
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from aestream.errors import ConfigurationError
from aestream.settings.settings import Model, Settings
from aestream.settings.values import without_passwords
from aestream.transport.base import Bookmarks, Delivery, History, Sink, Source, Topics, TransactionalSink
from aestream.transport.delivery import AtLeastOnce, ExactlyOnce
from aestream.transport.kafka_python.bookmarks import KafkaBookmarks
from aestream.transport.kafka_python.history import KafkaHistory
from aestream.transport.kafka_python.sink import KafkaSink
from aestream.transport.kafka_python.source import KafkaSource
from aestream.transport.kafka_python.tls import tls_context
from aestream.transport.kafka_python.tokens import FileTokens, provided
from aestream.transport.kafka_python.topics import KafkaTopics
from aestream.transport.kafka_python.transactions import TransactionalKafkaSink

_CONNECTION = (
    "bootstrap_servers", "client_id", "security_protocol", "sasl_mechanism", "sasl_plain_username",
    "sasl_plain_password", "sasl_kerberos_name", "sasl_kerberos_service_name", "sasl_kerberos_domain_name",
    "request_timeout_ms", "bootstrap_timeout_ms",
)  # fmt: skip
_TLS = (
    "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_crlfile", "ssl_ciphers", "ssl_check_hostname",
)  # fmt: skip
_CONSUMER = (
    "group_instance_id", "auto_offset_reset", "isolation_level", "session_timeout_ms", "heartbeat_interval_ms",
    "max_poll_interval_ms", "fetch_min_bytes", "fetch_max_wait_ms", "max_partition_fetch_bytes",
)  # fmt: skip
INPUT_REMEDY = "create it, or correct AESTREAM_TOPICS__INPUT"
DELIVERIES: Mapping[str, Callable[[Source, Any], Delivery]] = {
    "at_least_once": AtLeastOnce,
    "exactly_once": ExactlyOnce,  # over a TransactionalSink
}
_PRODUCER = ("batch_size", "linger_ms", "compression_type")

_NEXT_CONTACT_MS = 30_000
_SERVER = re.compile(r"\[[0-9A-Fa-f:.]+\](:\d{1,5})?|[^\s:/\[\]]+(:\d{1,5})?|[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")  # what Kafka accepts as the name of a topic or of a member


def check(settings: Settings) -> None:
    """Raise ConfigurationError for the first setting of the connection that cannot work with any broker."""
    checks = (_names, _session, _transactions, _login, _files, _second_client)
    for problem in itertools.chain.from_iterable(look(settings) for look in checks):
        raise ConfigurationError(f"AESTREAM_{problem}")


def _names(settings: Settings) -> Iterator[str]:
    for server in settings.kafka.bootstrap_servers or [""]:
        if not _SERVER.fullmatch(server):
            yield f"KAFKA__BOOTSTRAP_SERVERS: {without_passwords(server)!r} is not an address: write host:port"
    topics = settings.topics
    names = [("TOPICS__INPUT", name) for name in topics.input if not name.startswith("^")]
    names += [(f"TOPICS__{field.upper()}", getattr(topics, field)) for field in ("scores", "anomalies", "dead_letters")]
    own = settings.state.topic
    others = (("STATE__TOPIC", own), ("KAFKA__GROUP_INSTANCE_ID", settings.kafka.group_instance_id))
    for variable, name in (*names, *others):
        if name is not None and not _NAME.fullmatch(name):
            yield f"{variable}: {name!r} is not a name for Kafka: use letters, digits, dots, dashes and underscores"
    pattern = topics.input[0] if topics.input and topics.input[0].startswith("^") else None
    if own is not None and (own in dict(names).values() or (pattern and re.match(pattern, own))):
        yield f"STATE__TOPIC: {own!r} is read or written for something else: choose another name"


def _session(settings: Settings) -> Iterator[str]:
    beat, session = settings.kafka.heartbeat_interval_ms, settings.kafka.session_timeout_ms
    if beat >= session:
        yield f"KAFKA__HEARTBEAT_INTERVAL_MS is {beat}: set it below AESTREAM_KAFKA__SESSION_TIMEOUT_MS ({session})"


def _transactions(settings: Settings) -> Iterator[str]:
    if settings.delivery == "exactly_once" and settings.kafka.isolation_level != "read_committed":
        yield (
            f"KAFKA__ISOLATION_LEVEL is {settings.kafka.isolation_level}, and AESTREAM_DELIVERY is exactly_once, which "
            "needs read_committed: records of an aborted transaction may come twice"
        )


def _login(settings: Settings) -> Iterator[str]:
    protocol, mechanism = settings.kafka.security_protocol, settings.kafka.sasl_mechanism
    if mechanism is None and protocol.startswith("SASL"):
        yield f"KAFKA__SASL_MECHANISM is not set: {protocol} needs one, e.g. SCRAM-SHA-512"
    if mechanism is not None and not protocol.startswith("SASL"):
        yield (
            f"KAFKA__SASL_MECHANISM is {mechanism}, but AESTREAM_KAFKA__SECURITY_PROTOCOL is {protocol}, which does "
            "not log in: set it to SASL_SSL or SASL_PLAINTEXT"
        )
    if mechanism == "OAUTHBEARER":
        given = (settings.kafka.sasl_oauth_token_file, settings.kafka.sasl_oauth_token_provider)
        if (given[0] is None) == (given[1] is None):
            fault = "is not set" if given[0] is None else "and AESTREAM_KAFKA__SASL_OAUTH_TOKEN_PROVIDER are both set"
            yield f"KAFKA__SASL_OAUTH_TOKEN_FILE {fault}: OAUTHBEARER needs a file with a token, or else a provider"
    elif mechanism is not None and mechanism != "GSSAPI":
        for field in ("sasl_plain_username", "sasl_plain_password"):
            if getattr(settings.kafka, field) is None:
                yield f"KAFKA__{field.upper()} is not set: {mechanism} needs it"


def _files(settings: Settings) -> Iterator[str]:
    tls = settings.kafka.security_protocol.endswith("SSL")
    fields = ["ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"] if tls else []
    fields += ["sasl_oauth_token_file"] if settings.kafka.sasl_mechanism == "OAUTHBEARER" else []
    for field in fields:
        path = getattr(settings.kafka, field)
        if path is None:
            continue
        try:
            Path(path).open("rb").close()
        except OSError as error:
            yield (
                f"KAFKA__{field.upper()}: {path} cannot be read ({error.strerror}): name a file that exists and that "
                "this user may read"
            )


def _second_client(settings: Settings) -> Iterator[str]:
    """What goes wrong with the client that is not always installed, and has not everything."""
    if settings.kafka.client != "confluent":
        if settings.kafka.librdkafka:
            yield "KAFKA__LIBRDKAFKA is set, but AESTREAM_KAFKA__CLIENT is kafka-python: set that to confluent"
        return
    if importlib.util.find_spec("confluent_kafka") is None:
        yield "KAFKA__CLIENT is confluent, which is not installed: pip install '.[confluent]' in your clone"
        return
    librdkafka = _librdkafka()
    lacking = librdkafka.untranslated(_under_our_names(settings))
    if lacking is not None:
        yield (
            f"KAFKA__{lacking.upper()} is set, and librdkafka has nothing like it: leave it out, or set "
            "AESTREAM_KAFKA__CLIENT to kafka-python"
        )
    problem = librdkafka.problem(settings.kafka.librdkafka)
    if problem is not None:
        yield f"KAFKA__LIBRDKAFKA: {problem}"


def connection(settings: Settings) -> dict[str, Any]:
    """What every Kafka client needs to connect, under kafka-python's names.

    Raises ConfigurationError when the settings cannot work with any broker.
    """
    check(settings)
    chosen = _chosen(settings, _CONNECTION)
    if settings.kafka.security_protocol.endswith("SSL"):
        chosen["ssl_context"] = tls_context(**_chosen(settings, _TLS))
    return chosen | _tokens(settings)


def _named(settings: Settings) -> dict[str, Any]:
    """What librdkafka needs to connect, under kafka-python's names. Raises as `connection` does."""
    check(settings)
    return _under_our_names(settings)


def _librdkafka() -> Any:
    """The transport that an extra brings."""
    from aestream.transport import librdkafka  # noqa: PLC0415 - it is not always installed

    return librdkafka


class _Client(NamedTuple):
    """What a client's transport is made of, and what tells it how to connect."""

    source: Callable[..., Source]
    sink: Callable[..., Sink]
    transactional_sink: Callable[..., TransactionalSink]
    connection: Callable[[Settings], Mapping[str, Any]]


_KAFKA_PYTHON = _Client(KafkaSource, KafkaSink, TransactionalKafkaSink, connection)


def _client(settings: Settings) -> _Client:
    """The client that is set."""
    if settings.kafka.client != "confluent":
        return _KAFKA_PYTHON
    librdkafka = _librdkafka()
    return _Client(librdkafka.ConfluentSource, librdkafka.ConfluentSink, librdkafka.TransactionalConfluentSink, _named)


def _under_our_names(settings: Settings) -> dict[str, Any]:
    chosen = _chosen(settings, (*_CONNECTION, *_TLS)) | {"librdkafka": settings.kafka.librdkafka}
    return chosen | _tokens(settings)


def _tokens(settings: Settings) -> dict[str, Any]:
    if settings.kafka.sasl_mechanism != "OAUTHBEARER":
        return {}
    file, provider = settings.kafka.sasl_oauth_token_file, settings.kafka.sasl_oauth_token_provider
    return {"sasl_oauth_token_provider": FileTokens(file) if file else provided(str(provider))}


def in_contact(settings: Settings) -> Settings:
    """Settings for clients that are opened once a broker has answered: in an outage, none waits without a sign of life.

    A long `bootstrap_timeout_ms` is meant for the start.
    """
    timeout = min(settings.kafka.bootstrap_timeout_ms, _NEXT_CONTACT_MS)
    kafka = settings.kafka.model_copy(update={"bootstrap_timeout_ms": timeout})
    return settings.model_copy(update={"kafka": kafka})


def topics(settings: Settings) -> Topics:
    """The client that describes and creates topics."""
    return KafkaTopics(connection(settings))


def group_id(settings: Settings) -> str:
    """The workers' consumer group; workers of another model are another group, so that each sees all records.

    Raises ConfigurationError if none is set and no single topic can name it.
    """
    names = settings.topics.input
    if settings.kafka.group_id is not None:
        return settings.kafka.group_id
    if len(names) != 1 or names[0].startswith("^"):
        raise ConfigurationError(
            "AESTREAM_KAFKA__GROUP_ID is not set, and AESTREAM_TOPICS__INPUT does not name a single topic to name the "
            "group after: choose a name, the same for all workers of this input"
        )
    model = settings.model.name
    return f"aestream-{names[0]}" if model == Model().name else f"aestream-{names[0]}-{model}"


def source(settings: Settings) -> Source:
    """The input topics, read as a member of the group."""
    client = _client(settings)
    return client.source(
        settings.topics.input,
        connection=client.connection(settings),
        group_id=group_id(settings),
        max_records=settings.worker.max_batch_records,
        max_wait=settings.worker.max_batch_wait,
        max_bytes=settings.worker.max_batch_bytes,
        **_chosen(settings, _CONSUMER),
    )


def history(settings: Settings, names: Sequence[str], remedy: str = INPUT_REMEDY) -> History:
    """The past of topics, read outside of any group; `remedy` says what to do about one that does not exist."""
    return KafkaHistory(
        names,
        connection=connection(settings),
        max_records=settings.worker.max_batch_records,
        remedy=remedy,
        isolation_level=settings.kafka.isolation_level,
    )


def sink(settings: Settings, limits: Mapping[str, int], *, patience: float | None = None) -> Sink:
    """The client that writes messages; `limits` are the largest messages that topics accept, where these are known.

    It waits for a broker that is away, for so many seconds or, without `patience`, for as long as it takes.
    """
    client = _client(settings)
    return client.sink(patience=patience, **_sending(settings, limits, client))


def result_sink(settings: Settings, limits: Mapping[str, int]) -> Sink:
    """The client that writes a worker's results, in transactions if each is to appear once."""
    if settings.delivery != "exactly_once":
        return sink(settings, limits)
    name = settings.kafka.group_instance_id or uuid.uuid4().hex
    return _transactional_sink(settings, f"{group_id(settings)}-{name}", limits)


def try_a_transaction(settings: Settings) -> None:
    """Open and close what a worker's transactions need. Raises TransportError if this user may not have it."""
    _transactional_sink(settings, f"{group_id(settings)}-validate", {}).close()


def _transactional_sink(
    settings: Settings, transactional_id: str, limits: Mapping[str, int], client: _Client | None = None
) -> TransactionalSink:
    """A sink with transactions. Under a worker's own name: a permanent one if it has that in its group.

    A worker that comes back under a permanent name ends at once what it left open. Otherwise that ends with
    `transaction_timeout_ms`. Over the client that is set, unless one is given.
    """
    client = client or _client(settings)
    return client.transactional_sink(
        transactional_id=transactional_id,
        transaction_timeout_ms=settings.kafka.transaction_timeout_ms,
        **_sending(settings, limits, client),
    )


def _sending(settings: Settings, limits: Mapping[str, int], client: _Client) -> dict[str, Any]:
    """What every sink is made of."""
    return {
        "connection": client.connection(settings),
        "max_request_size": settings.kafka.max_request_size,
        "limits": limits,
        **_chosen(settings, _PRODUCER),
    }


def replayer(settings: Settings) -> tuple[TransactionalSink, Bookmarks]:
    """The client that sends dead letters back: only one at a time, as each ends the transaction of the one before."""
    return _transactional_sink(settings, replay_group(settings), {}, _KAFKA_PYTHON), replay_marks(settings)


def replay_marks(settings: Settings) -> Bookmarks:
    """How far the dead letters have been sent back."""
    return KafkaBookmarks(replay_group(settings), connection=connection(settings))


def replay_group(settings: Settings) -> str:
    """The group, and the transactional id, of those who send dead letters back: one for each dead-letter topic."""
    return f"aestream-replay-{settings.topics.dead_letters}"


def _chosen(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Settings of the Kafka client by name, without those that are not set; secrets in plain text."""
    values = {name: getattr(settings.kafka, name) for name in names}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in values.items()
        if value is not None
    }
