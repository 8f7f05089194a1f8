"""No secret shows: not in a log at level debug, an error, a probe, /metrics, nor in what commands print."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.settings import reference
from tests.brokers.apache import ApacheKafka
from tests.certificates import CLIENT_PASSWORD
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.secured import User
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]

_SECRETS = [setting for setting in reference.describe() if setting.secret]


def given(settings: dict[str, str]) -> dict[str, str]:
    """The secrets among some settings, which must be all that there are."""
    found = {setting.variable: settings.get(setting.dotted.replace(".", "__"), "") for setting in _SECRETS}
    assert all(found.values()), f"this test has to give each secret: {found}"
    return found


def shown(text: str, *secrets: str) -> list[str]:
    """The lines that show one of the secrets, as it is or as a header has it."""
    coded = [base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets]
    return [line for line in text.splitlines() if any(secret in line for secret in (*secrets, *coded))]


@pytest.fixture
def settings(
    secured_cluster: Cluster, secured_settings: Make, user: User, certificates: Path, tmp_path: Path
) -> dict[str, str]:
    """A login with everything that a login can have, and a password for /metrics."""
    topic = secured_cluster.topic()
    secured_cluster.send(topic, [*records.values(600), b"{"])
    made = (
        secured_settings(tmp_path, topic)
        | user.over_tls("PLAIN", tmp_path)
        | {
            "kafka__ssl_certfile": str(certificates / "client.pem"),
            "kafka__ssl_keyfile": str(certificates / "client.key"),
            "kafka__ssl_password": CLIENT_PASSWORD,
            "http__username": "scraper",
            "http__password": "scraper-secret",
            "log__level": "debug",
        }
    )
    user.grant_all("worker", made)
    return made


def test_a_worker_shows_none(secured_cluster: Cluster, settings: dict[str, str], tmp_path: Path) -> None:
    secrets = given(settings).values()
    texts = []
    with Service(["worker"], settings=settings | {"log__format": "json"}, folder=tmp_path) as worker:
        group, topic = settings["kafka__group_id"], settings["topics__input"]
        worker.until("all committed", lambda: secured_cluster.committed(group, topic) == {0: 601})
        address = re.search(r"metrics at (http://[^/]+)/metrics", worker.log)
        assert address is not None
        login = base64.b64encode(b"scraper:scraper-secret").decode()
        for path in ("/metrics", "/version", "/readyz", "/livez", "/nothing"):
            for headers in ({}, {"Authorization": f"Basic {login}"}):
                request = urllib.request.Request(address[1] + path, headers=headers)  # noqa: S310
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                        texts.append(f"{answer.headers}{answer.read().decode()}")
                except urllib.error.HTTPError as error:
                    texts.append(f"{error.headers}{error.read().decode()}")
        assert worker.stop() == 0
    assert any("aestream_records_scored_total 600" in text for text in texts)
    assert shown("\n".join([*texts, worker.log]), *secrets) == []
    results = [settings[f"topics__{kind}"] for kind in ("scores", "anomalies", "dead_letters")]
    sent = [record for name in results if secured_cluster.count(name) for record in secured_cluster.read(name)]
    assert shown("\n".join(f"{record.value!r} {record.headers}" for record in sent), *secrets) == []


@pytest.mark.parametrize(
    "arguments", ["validate", "config", "topics create", "train", "init", "backtest", "model list", "worker"]
)
def test_a_command_shows_none_whether_it_works_or_not(
    settings: dict[str, str], command: Command, arguments: str, secured_kafka: ApacheKafka
) -> None:
    secrets = given(settings)
    settings |= {"trainer__min_records": "100000"}  # so that training ends early
    elsewhere = {"kafka__bootstrap_servers": f"127.0.0.1:{secured_kafka.ports['MUTUAL']}"}
    changes: list[dict[str, str]] = [
        *({setting.dotted.replace(".", "__"): "mistyped-secret"} for setting in _SECRETS),
        {"kafka__sasl_mechanism": "SCRAM-SHA-256"},
        {"kafka__security_protocol": "SASL_PLAINTEXT"},
        {"http__username": "none"},
        elsewhere,
        *([{}] if arguments != "worker" else []),  # which would run for ever
    ]
    if arguments == "worker":
        changes = [change for change in changes if "http__password" not in change]
    for change in changes:
        done = command(*arguments.split(), settings=settings | {"http__port": "0"} | change)
        assert shown(done.stdout + done.stderr, "mistyped-secret", *secrets.values()) == [], change


@pytest.mark.parametrize("setting", _SECRETS, ids=lambda setting: setting.dotted)
def test_an_invalid_secret_is_not_repeated(setting: reference.Setting, command: Command, tmp_path: Path) -> None:
    section, name = setting.dotted.split(".")
    for number, value in enumerate((["a-secret"], {"a-secret": "a-secret"}, 473829105)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(json.dumps({section: {name: value}}))
        done = command("config", "--config", str(file), settings={})
        assert done.returncode == 2
        assert setting.variable in done.stderr
        assert shown(done.stderr, "a-secret", "473829105") == []
    for wrong in (f"{setting.dotted}x=a-secret", f"{name}=a-secret"):
        done = command("config", "--set", wrong, settings={})
        assert done.returncode == 2
        assert shown(done.stderr, "a-secret") == []
    file.write_text(f"{section}: {{{name}: a-secret\n")
    assert shown(command("config", "--config", str(file), settings={}).stderr, "a-secret") == []
    assert shown(command("config", settings={section: f'{{"{name}": a-secret'}).stderr, "a-secret") == []


@pytest.mark.parametrize("address", ["user:a-secret@kafka:9092", "kafka://user:a-secret@kafka", "x,user:a-secret@k"])
def test_a_password_in_an_address_is_hidden(address: str, command: Command) -> None:
    for settings in ({"kafka__bootstrap_servers": address}, {"model__store": f"s3://{address}/models"}):
        settings |= {"topics__input": "in"}
        config = command("config", settings=settings)
        assert config.returncode == 0
        assert "***@" in config.stdout
        refused = command("validate", settings=settings)
        assert refused.returncode == 2
        assert "***@" in refused.stderr
        assert shown(config.stdout + refused.stderr, "a-secret") == []
