"""Turns what kafka-python raises into one line for people: where it failed, and what to check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import errors as kafka_errors

from aestream.errors import ConfigurationError, TransportError
from aestream.transport.kafka_python.tokens import NoTokenError

Connection = Mapping[str, Any]

# By class of error: the resource that it is about, and the rights that a user needs on it.
_NEEDED = {
    kafka_errors.TopicAuthorizationFailedError: ("the topic", "READ on input topics, WRITE on result topics"),
    kafka_errors.GroupAuthorizationFailedError: ("the consumer group", "READ on the group"),
    kafka_errors.ClusterAuthorizationFailedError: ("the cluster", "IDEMPOTENT_WRITE on the cluster"),
    kafka_errors.TransactionalIdAuthorizationFailedError: (
        "the transactional id",
        "WRITE on transactional ids that begin with the name of the consumer group",
    ),
}

_OF_THE_GROUP = {
    kafka_errors.FencedInstanceIdError: (
        "another member of the group runs with the same `group_instance_id`: give each its own"
    ),
    kafka_errors.InvalidSessionTimeoutError: (
        "it does not accept `session_timeout_ms`: keep that within the brokers' "
        "group.min.session.timeout.ms and group.max.session.timeout.ms"
    ),
}


@contextmanager
def broker_errors(connection: Connection) -> Iterator[None]:
    """Turn what kafka-python raises into a TransportError of one line that says where it failed and what to check.

    Raises ConfigurationError when the client itself refuses the settings.
    """
    where = servers(connection)
    try:
        yield
    except tuple(_OF_THE_GROUP) as error:
        raise TransportError(f"Kafka at {where}: {_OF_THE_GROUP[type(error)]}") from error
    except kafka_errors.AuthorizationError as error:
        raise TransportError(f"Kafka at {where}: {denied(error)}") from error
    except kafka_errors.SaslAuthenticationFailedError as error:
        raise TransportError(
            f"Kafka at {where} refuses the login: check {credentials(connection)} ({said(error)})"
        ) from error
    except kafka_errors.UnsupportedSaslMechanismError as error:
        raise TransportError(
            f"Kafka at {where} does not offer the login {connection.get('sasl_mechanism')}: set `sasl_mechanism` to "
            "one that its listener offers"
        ) from error
    except kafka_errors.IllegalSaslStateError as error:
        raise TransportError(
            f"Kafka at {where} does not accept a login on this listener: check `security_protocol` "
            f"({connection.get('security_protocol')}) and the port"
        ) from error
    except kafka_errors.KafkaTimeoutError as error:
        raise TransportError(
            f"no answer from Kafka at {where}: check {suspects(connection)} ({said(error)})"
        ) from error
    except kafka_errors.KafkaProtocolError as error:
        raise TransportError(
            f"what answers at {where} does not speak Kafka over "
            f"{connection.get('security_protocol', 'PLAINTEXT')}: check `security_protocol` and the port "
            f"({said(error)})"
        ) from error
    except (kafka_errors.KafkaError, OSError) as error:
        told = error.args[0] if isinstance(error, NoTokenError) else f"Kafka at {where}: {said(error)}"
        raise TransportError(told) from error
    except (AssertionError, ImportError) as error:  # how the client refuses settings that do not go together
        raise ConfigurationError(f"the Kafka client refuses the settings in `connection`: {error}") from error


def said(error: BaseException) -> str:
    """The class of an exception, and its message if it has one: kafka-python often has None in its place."""
    words = " ".join(text for text in ("" if part is None else str(part) for part in error.args) if text)
    words = words.removeprefix(f"{type(error).__name__}: ")  # the client wraps some errors in their own class
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def denied(error: kafka_errors.AuthorizationError) -> str:
    """What this user may not use, and what to grant."""
    what, needed = _NEEDED.get(type(error), ("this", "what the operation needs"))
    named = [part for part in error.args if part]
    names = [name for part in named for name in (sorted(part) if isinstance(part, set | frozenset) else [part])]
    return f"access to {what} is denied ({', '.join(map(str, names)) or said(error)}): grant this user {needed}"


def servers(connection: Connection) -> str:
    """The addresses of the brokers, for messages."""
    return ", ".join(connection["bootstrap_servers"])


def credentials(connection: Connection) -> str:
    """The options that the login comes from."""
    if connection.get("sasl_mechanism") == "GSSAPI":
        return "`sasl_kerberos_name`, `sasl_kerberos_service_name` and the Kerberos ticket"
    if connection.get("sasl_mechanism") == "OAUTHBEARER":
        return "the token of `sasl_oauth_token_file` or `sasl_oauth_token_provider`"
    return "`sasl_plain_username` and `sasl_plain_password`"


def suspects(connection: Connection) -> str:
    """The options to check when no broker answers, the likeliest first."""
    protocol = str(connection.get("security_protocol", "PLAINTEXT"))
    names = f"`bootstrap_servers`, `security_protocol` ({protocol}) and the network"
    return f"{credentials(connection)}, {names}" if protocol.startswith("SASL") else names
