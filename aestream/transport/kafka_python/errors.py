"""What kafka-python raises, as one line for a person: where, and what to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import errors as kafka_errors

from aestream.errors import TransportError

Connection = Mapping[str, Any]


@contextmanager
def broker_errors(connection: Connection) -> Iterator[None]:
    """Turn what kafka-python raises into a TransportError of one line that says where and what to look at."""
    where = ", ".join(connection["bootstrap_servers"])
    try:
        yield
    except kafka_errors.FencedInstanceIdError as error:
        raise TransportError(
            "another member of the group runs with the same AESTREAM_KAFKA__GROUP_INSTANCE_ID: give each its own"
        ) from error
    except kafka_errors.AuthorizationError as error:
        raise TransportError(f"the broker at {where} denies access ({error}): grant the ACL to this user") from error
    except kafka_errors.SaslAuthenticationFailedError as error:
        raise TransportError(
            f"the broker at {where} refuses the credentials: check AESTREAM_KAFKA__SASL_* ({error})"
        ) from error
    except kafka_errors.KafkaTimeoutError as error:
        raise TransportError(
            f"no answer from Kafka at {where}: check AESTREAM_KAFKA__BOOTSTRAP_SERVERS, the network and "
            f"AESTREAM_KAFKA__SECURITY_PROTOCOL ({error})"
        ) from error
    except (kafka_errors.KafkaError, OSError) as error:
        raise TransportError(f"Kafka at {where}: {type(error).__name__}: {error}") from error
    except (AssertionError, ImportError) as error:  # how the client says that settings do not go together
        raise TransportError(f"the Kafka client refuses the settings AESTREAM_KAFKA__*: {error}") from error
