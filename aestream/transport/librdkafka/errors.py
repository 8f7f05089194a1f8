"""Turns librdkafka's errors into one line for people: where it failed, and what to check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from aestream.errors import ConfigurationError, NoAnswerError, TransportError
from aestream.transport import wording
from aestream.transport.places import RefusedError
from aestream.transport.wording import Connection

# Asking again may help: the broker is away, moves, or does not know the topic yet.
PASSING = frozenset(
    {
        KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD, KafkaError._WAIT_CACHE, KafkaError._RETRY, KafkaError._RESOLVE, KafkaError._NO_OFFSET,
        KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError._OUTDATED, KafkaError._DESTROY_BROKER,
        KafkaError._IN_PROGRESS, KafkaError._PREV_IN_PROGRESS, KafkaError._STATE, KafkaError._NOENT,
        KafkaError.REQUEST_TIMED_OUT, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.BROKER_NOT_AVAILABLE, KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.KAFKA_STORAGE_ERROR, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    }
)  # fmt: skip
COMMIT_REFUSED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST, KafkaError.MEMBER_ID_REQUIRED, KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
    }
)  # fmt: skip
DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: wording.TOPIC,
    KafkaError.GROUP_AUTHORIZATION_FAILED: wording.GROUP,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: wording.CLUSTER,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: wording.TRANSACTIONS,
}
_OF_THE_GROUP = {
    KafkaError.FENCED_INSTANCE_ID: wording.SAME_NAME,
    KafkaError.INVALID_SESSION_TIMEOUT: wording.SESSION_LIMITS,
}
_REFUSED_LOGIN = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})

_REFUSED_SETTINGS = frozenset({KafkaError._INVALID_ARG, KafkaError._UNSUPPORTED_FEATURE, KafkaError._NOT_IMPLEMENTED})


@contextmanager
def broker_errors(connection: Connection) -> Iterator[None]:
    """Turn what librdkafka raises into a TransportError of one line: NoAnswerError if asking again may help.

    Raises RefusedError when a rebalance is the reason, ConfigurationError when librdkafka refuses the settings.
    """
    try:
        yield
    except KafkaException as error:
        raise explained(error.args[0], connection) from error
    except RuntimeError as error:  # a client that is closed
        raise TransportError(f"the Kafka client cannot be used any more: {error}") from error


def explained(error: KafkaError, connection: Connection, *, about: str = "") -> TransportError | ConfigurationError:
    """What to raise for an error `about` a topic or a group."""
    code, kafka = _cause(error), f"Kafka at {wording.servers(connection)}"
    told = f"{about}, {said(error)}" if about else said(error)
    kind: type[TransportError | ConfigurationError] = TransportError
    message = f"{kafka}: {told}"
    if code in _OF_THE_GROUP:
        message = f"{kafka}: {_OF_THE_GROUP[code]}"
    elif code in DENIED:
        message = f"{kafka}: {wording.access_denied(DENIED[code], about or said(error))}"
    elif code in _REFUSED_LOGIN:
        message = wording.login_refused(connection, said(error))
    elif code in COMMIT_REFUSED:
        kind = RefusedError
    elif code in PASSING and not error.fatal():
        kind, message = NoAnswerError, wording.no_answer(connection, told)
    elif code in _REFUSED_SETTINGS:
        kind, message = ConfigurationError, f"librdkafka refuses the settings of the connection: {error.str()}"
    return kind(message)


def _cause(error: KafkaError) -> int:
    """The code of an error; of a fatal one, that of its reason, if that is known: only its text tells."""
    code: int = error.code()
    if code == KafkaError._FATAL:
        return next((known for known in (*_OF_THE_GROUP, *DENIED) if KafkaError(known).str() in error.str()), code)
    return code


def said(error: KafkaError) -> str:
    """The name of an error, and what librdkafka says of it, in one line."""
    return f"{error.name()}: {' '.join(error.str().split())}"
