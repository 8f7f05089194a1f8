"""The first contact with the brokers, before any client is made, so that the reason is known when they refuse.

kafka-python's own start only reports a timeout: it drops what arrives together with the close of a connection, such as
"invalid password", retries all the same, and logs every attempt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest

from aestream.errors import ConfigurationError, TransportError
from aestream.transport.kafka_python.errors import said
from aestream.transport.kafka_python.tokens import NoTokenError
from aestream.transport.wording import Connection, servers, suspects

_TIMEOUT_MS = 30_000  # the client's own default
_ATTEMPT_MS = 10_000
_PAUSE_SECONDS = 0.5
_REJECTED = re.compile(r"ALERT_\w*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")  # of the client's certificate
_WORDS = {"111 ECONNREFUSED": "connection refused", "DNS Resolution failure": "the name cannot be resolved"}


def make_contact(connection: Connection) -> None:
    """Return once a broker has answered; wait at most `bootstrap_timeout_ms` for that.

    Raises TransportError when none answers in time or either side does not trust the other's certificate,
    ConfigurationError when the client cannot use an address, and what kafka-python raises when a broker refuses for
    good, such as a wrong password.
    """
    timeout = connection.get("bootstrap_timeout_ms", _TIMEOUT_MS) / 1000
    deadline = time.monotonic() + timeout
    while True:
        refusals = _knock(connection, min(_ATTEMPT_MS, max(1.0, (deadline - time.monotonic()) * 1000)))
        if not refusals:
            return
        for server, error in refusals.items():
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise TransportError(
                    f"the certificate of Kafka at {server} is not trusted ({_reason(error)}): check "
                    "`ssl_cafile`, `ssl_crlfile` and `ssl_check_hostname`"
                )
            if _REJECTED.search(str(error)):
                raise TransportError(
                    f"Kafka at {server} accepts only clients with a certificate that it trusts ({_reason(error)}): "
                    "check `ssl_certfile` and `ssl_keyfile`"
                )
            if not isinstance(error, kafka_errors.KafkaError | TransportError):
                raise ConfigurationError(f"the Kafka client cannot use {server}: {said(error)}") from error
            if isinstance(error, NoTokenError) or not isinstance(error, kafka_errors.RetriableError):
                raise error
        if time.monotonic() + _PAUSE_SECONDS > deadline:
            reasons = ", ".join(f"{server}: {_reason(error)}" for server, error in refusals.items())
            raise TransportError(f"no answer from Kafka in {timeout:g} s ({reasons}): check {suspects(connection)}")
        time.sleep(_PAUSE_SECONDS)


def _knock(connection: Connection, timeout_ms: float) -> dict[str, Exception]:
    """Try the brokers one after the other; return nothing once one answers, else the error of each."""
    refusals: dict[str, Exception] = {}
    with _network(connection) as manager:
        for broker in manager.cluster.bootstrap_brokers():
            try:
                manager.run(_greet, manager, broker.node_id, timeout_ms)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                refusals[f"{broker.host}:{broker.port}"] = error
            else:
                return {}
    return refusals


async def _greet(manager: _Manager, node_id: str, timeout_ms: float) -> None:
    """Connect, log in, and send the smallest request that needs a login."""
    connection = manager.get_connection(node_id, timeout_ms=timeout_ms)
    await manager.wait_for(connection.init_future, timeout_ms)  # a TLS handshake has no timeout of its own
    try:
        await connection.send_request(MetadataRequest(topics=[]), request_timeout_ms=timeout_ms)
    except kafka_errors.KafkaConnectionError as error:
        if manager.config["security_protocol"].startswith("SASL"):
            raise
        raise TransportError(
            f"Kafka at {servers(manager.config)} closes the connection, as a listener that needs a login does: check "
            f"`security_protocol` ({manager.config['security_protocol']}), `sasl_mechanism` and the port"
        ) from error


def _reason(error: Exception) -> str:
    words = " ".join(map(str, error.args))
    return _WORDS.get(words, words or said(error))


@contextmanager
def _network(connection: Connection) -> Iterator[_Manager]:
    """The client's network without a client around it."""
    net = NetworkSelector(**connection)
    try:
        manager = _Manager(net, **connection)
    except ValueError as error:
        raise ConfigurationError(
            f"`bootstrap_servers` is {servers(connection)}: write host:port, separated by commas ({error})"
        ) from error
    net.start()
    try:
        yield manager
    finally:
        manager.run(manager.close)
        net.stop()


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Opens connections that deliver the data that came before their close."""

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        transport = await super()._build_transport(node, timeout_at=timeout_at)
        receive = transport._sock_recv  # noqa: SLF001 - it returns both, and its caller drops the data

        def data_first() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = data_first  # noqa: SLF001
        return transport
