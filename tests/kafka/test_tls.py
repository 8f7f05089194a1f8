"""TLS against a real broker: who is trusted, and what is said of a broker or a file that is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers.apache import ApacheKafka
from tests.kafka.cluster import Cluster

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make_topics(
    secured_kafka: ApacheKafka, secured_cluster: Cluster, certificates: Path, command: Command
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`aestream topics create` over TLS; settings that end in `file` are names of certificates."""

    def make(**tls: str) -> subprocess.CompletedProcess[str]:
        return command(
            "topics",
            "create",
            settings={
                "kafka__bootstrap_servers": f"127.0.0.1:{secured_kafka.ports['TLS']}",
                "kafka__security_protocol": "SSL",
                "topics__input": secured_cluster.topic(),
                **{f"topics__{kind}": secured_cluster.name(kind) for kind in ("scores", "anomalies", "dead_letters")},
                **{f"kafka__ssl_{n}": str(certificates / v) if n.endswith("file") else v for n, v in tls.items()},
            },
        )

    return make


@pytest.mark.parametrize(
    "tls", [{}, {"crlfile": "none-revoked.pem"}, {"ciphers": "ECDHE+AESGCM"}, {"check_hostname": "false"}], ids=str
)
def test_a_broker_is_trusted_by_its_authority(make_topics: Command, tls: dict[str, str]) -> None:
    done = make_topics(cafile="authority.pem", **tls)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("created ")


@pytest.mark.parametrize(
    "tls", [{"cafile": "stranger.pem"}, {"cafile": "authority.pem", "crlfile": "broker-revoked.pem"}, {}], ids=str
)
def test_a_broker_that_is_not_trusted_is_said_at_once(make_topics: Command, tls: dict[str, str]) -> None:
    done = make_topics(**tls)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "is not trusted" in line
    assert "AESTREAM_KAFKA__SSL_CAFILE" in line


@pytest.mark.parametrize(
    ("tls", "setting"),
    [
        ({"cafile": "none.pem"}, "CAFILE"),
        ({"cafile": "broker.csr"}, "CAFILE"),
        ({"certfile": "none.pem"}, "CERTFILE"),
        ({"certfile": "authority.pem", "keyfile": "stranger.key"}, "CERTFILE"),
        ({"crlfile": "none.pem"}, "CRLFILE"),
        ({"ciphers": "no-such-cipher"}, "CIPHERS"),
    ],
    ids=str,
)
def test_what_cannot_be_used_names_its_setting(make_topics: Command, tls: dict[str, str], setting: str) -> None:
    done = make_topics(**tls)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"AESTREAM_KAFKA__SSL_{setting}" in line
    assert any(value in line for value in tls.values())
