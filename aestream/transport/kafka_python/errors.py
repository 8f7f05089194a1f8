"""Turns what kafka-python raises into one line for people: where it failed, and what to check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

from aestream.errors import ConfigurationError, TransportError
from aestream.transport import wording
from aestream.transport.kafka_python.tokens import NoTokenError
from aestream.transport.wording import Connection, access_denied, login_refused, no_answer, servers

# By class of error: the resource that it is about.
_RESOURCES = {
    kafka_errors.TopicAuthorizationFailedError: wording.TOPIC,
    kafka_errors.GroupAuthorizationFailedError: wording.GROUP,
    kafka_errors.ClusterAuthorizationFailedError: wording.CLUSTER,
    kafka_errors.TransactionalIdAuthorizationFailedError: wording.TRANSACTIONS,
}
_OF_THE_GROUP = {
    kafka_errors.FencedInstanceIdError: wording.SAME_NAME,
    kafka_errors.InvalidSessionTimeoutError: wording.SESSION_LIMITS,
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
        raise TransportError(login_refused(connection, said(error))) from error
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
        raise TransportError(no_answer(connection, said(error))) from error
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
    named = [part for part in error.args if part]
    names = [name for part in named for name in (sorted(part) if isinstance(part, set | frozenset) else [part])]
    return access_denied(_RESOURCES.get(type(error), "this"), ", ".join(map(str, names)) or said(error))
