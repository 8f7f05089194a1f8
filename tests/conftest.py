"""What all tests share: a clean environment, and the brokers, started once a session."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from aestream.demo.brokers import Broker, EmbeddedKafka
from aestream.errors import TransportError
from tests import speedups
from tests.brokers.apache import QUICK_ABORTS, ApacheKafka
from tests.certificates import make as make_certificates
from tests.chaos.table import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

# Torch's threads wait for one another in a loop: beside any other load two of them are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("AESTREAM_CACHE", str(Path(__file__).parents[1] / ".cache"))
SASL_USERS = tuple(f"user{number}" for number in range(60))  # a fresh one for each test: a user keeps its rules
_ON_A_MACHINE = {"tests/deploy/test_run.py", "tests/deploy/test_services.py"}
_OURS = ("AESTREAM_CACHE", "AESTREAM_TEST_")

# Any user may do anything until a rule says otherwise: that lets a test take a permission away.
_PROPERTIES = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    **QUICK_ABORTS,
}


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests stay in one process, and so do all tests that boot a machine: two would share control groups."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "a machine" if file in _ON_A_MACHINE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AESTREAM_") and not name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[Broker]:
    """Apache Kafka of this session's own: it may be paused."""
    yield from running(ApacheKafka(properties=_PROPERTIES))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Where Apache Kafka listens: an existing one if the environment names it."""
    existing = os.environ.get("AESTREAM_TEST_BOOTSTRAP_SERVERS")
    return existing or request.getfixturevalue("apache_kafka").bootstrap


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a broker's certificates."""
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("openssl is missing: it makes the broker's certificates")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="session")
def secured_kafka(certificates: Path) -> Iterator[ApacheKafka]:
    """Apache Kafka that wants a login, and where a user may do what a rule allows and no more.

    On SASL and, with TLS, on SASLTLS: by PLAIN, SCRAM-SHA-512 or OAUTHBEARER with unsigned tokens; on MUTUAL by a
    certificate. Without a login, on PLAINTEXT and TLS, everything is allowed.
    """
    users = "".join(f' user_{name}="{name}-secret"' for name in SASL_USERS)
    modules = {
        "plain": f"plain.PlainLoginModule required{users};",
        "scram-sha-512": "scram.ScramLoginModule required;",
        "oauthbearer": 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="nobody";',
    }
    protocols = {"SASL": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL", "TLS": "SSL", "MUTUAL": "SSL"}
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}"
            for name, protocol in ({"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | protocols).items()
        ),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
        "connections.max.reauth.ms": "3600000",  # beyond it, and beyond the life of a token, a login is refreshed
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.truststore.type": "PEM",
        "listener.name.mutual.ssl.truststore.location": str(certificates / "authority.pem"),
    }
    for name in ("sasltls", "tls", "mutual"):
        properties[f"listener.name.{name}.ssl.keystore.type"] = "PEM"
        properties[f"listener.name.{name}.ssl.keystore.location"] = str(certificates / "broker.pem")
    for name, (mechanism, module) in itertools.product(("sasl", "sasltls"), modules.items()):
        login = f"org.apache.kafka.common.security.{module}"
        properties[f"listener.name.{name}.{mechanism}.sasl.jaas.config"] = login
    broker = ApacheKafka(properties=properties, listeners=dict.fromkeys(protocols))
    for _ in running(broker):
        yield broker


@pytest.fixture(scope="session")
def embedded_kafka() -> Iterator[str]:
    """Where the embedded broker listens."""
    for broker in running(EmbeddedKafka()):
        yield broker.bootstrap


@pytest.fixture(scope="session")
def decoder_in_c(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The package aestream-speedups, built from its source."""
    return speedups.load(speedups.build(tmp_path_factory.mktemp("speedups")))


def running(broker: Broker) -> Iterator[Broker]:
    """Start a broker, and stop it at the end. Where it cannot be had, the tests are skipped, and fail in CI."""
    try:
        broker.start()
    except TransportError as error:
        if os.environ.get("CI"):
            raise  # in CI a missing broker is a failure
        pytest.skip(str(error))
    try:
        yield broker
    finally:
        broker.stop()
