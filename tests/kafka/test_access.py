"""Against a broker with logins and rules: what `validate` promises holds, and a refusal is one line with its remedy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers.apache import ApacheKafka
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.secured import User
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def complaints(said: str) -> list[str]:
    """What a log or a command says beside the ordinary; that this login goes in the clear, the client has to say."""
    return [line for line in said.splitlines() if " info " not in line and "in the clear" not in line]


def ended(worker: Service) -> str:
    """The one line with which a worker ends."""
    assert worker.ended() == 1, worker.log
    (line,) = complaints(worker.log)
    assert line.startswith("aestream worker: ")
    return line


def failed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a validation that say what is wrong."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line.startswith("failed")]


def test_what_the_guide_grants_is_enough_for_all_that_a_worker_and_a_trainer_do(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(600))
    secured_cluster.send(topic, [records.anomaly(), b"{"])
    settings = secured_settings(tmp_path, topic) | user.over_tls("PLAIN", tmp_path)
    user.grant_work(settings)
    validated = command("validate", settings=settings)
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert {line.split()[0] for line in validated.stdout.splitlines()} == {"ok"}
    trained = command("train", settings=settings | {"trainer__min_records": "100"})
    assert trained.returncode == 0, trained.stderr
    assert "ERROR" not in trained.stderr.upper()
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: secured_cluster.committed(group, topic) == {0: 602})
        assert worker.stop() == 0
    assert complaints(worker.log) == []
    assert secured_cluster.count(settings["topics__scores"]) == 601
    assert secured_cluster.count(settings["topics__dead_letters"]) == 1


@pytest.mark.parametrize(
    ("kind", "what", "instead", "words"),
    [
        ("topic", "topics__input", None, "is not shown to this user: grant READ on it"),
        ("topic", "topics__input", "describe", "is denied to this user: grant READ on it"),
        ("topic", "topics__anomalies", None, "is not shown to this user: grant WRITE on it"),
        ("topic", "topics__dead_letters", "describe", "is denied to this user: grant WRITE on it"),
        ("group", "kafka__group_id", None, "is denied to this user: grant READ on it"),
        ("group", "kafka__group_id", "describe", "is denied to this user: grant READ on it"),
    ],
)
def test_each_right_that_is_missing_is_named_by_validate_and_by_the_worker(
    secured_cluster: Cluster,
    secured_settings: Make,
    user: User,
    tmp_path: Path,
    command: Command,
    kind: str,
    what: str,
    instead: str | None,
    words: str,
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(10))
    settings = secured_settings(tmp_path, topic) | user.settings
    user.grant_work(settings, (kind, settings[what], "read"), (kind, settings[what], "write"))
    if instead:
        user.grant((kind, settings[what], instead))
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        (line,) = failed(command("validate", settings=settings))
        assert f"{kind} {settings[what]}: {words}" in line
        assert f"{kind} {settings[what]} {words}" in ended(worker)


def test_a_pattern_finds_what_is_shown(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    prefix = secured_cluster.name("many")
    shown, denied, hidden = (f"{prefix}.{name}" for name in ("shown", "denied", "hidden"))
    settings = secured_settings(tmp_path, f"^{prefix}") | user.settings
    user.grant_work(settings | {"topics__input": shown})
    secured_cluster.admin.create_topics({name: {"num_partitions": 1} for name in (shown, denied, hidden)})
    well = command("validate", settings=settings)
    assert well.returncode == 0, well.stdout
    assert f"ok       topic {shown}: 1 partition, readable" in well.stdout
    assert denied not in well.stdout
    user.grant(("topic", denied, "describe"))
    (line,) = failed(command("validate", settings=settings))
    assert f"topic {denied}: is denied to this user: grant READ on it" in line
    assert hidden not in well.stdout


def test_topics_cannot_be_made_without_the_right_to(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic(partitions=2)
    fresh = {f"topics__{kind}": secured_cluster.name(kind) for kind in ("scores", "anomalies", "dead_letters")}
    state = secured_cluster.name("state")
    settings = secured_settings(tmp_path, topic) | user.settings | fresh | {"state__topic": state}
    hidden = command("topics", "create", settings=settings)
    assert hidden.returncode == 1
    assert topic in hidden.stderr
    assert "not shown to this user" in hidden.stderr
    user.grant(("topic", topic, "read"))
    denied = command("topics", "create", settings=settings)
    assert denied.returncode == 1
    (line,) = denied.stderr.splitlines()
    for name in fresh.values():
        assert f"topic {name} cannot be created: grant this user CREATE on it" in line
    user.grant(*(("topic", name, "create") for name in (*fresh.values(), state)))
    made = command("topics", "create", settings=settings)
    assert made.returncode == 0, made.stderr
    assert {len(secured_cluster.ends(name)) for name in (*fresh.values(), state)} == {2}


@pytest.mark.parametrize("arguments", ["train", "validate", "topics create", "init", "tail"])
def test_a_wrong_password_is_said_as_the_broker_says_it(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command, arguments: str
) -> None:
    settings = secured_settings(tmp_path, secured_cluster.topic()) | user.settings
    done = command(*arguments.split(), settings=settings | {"kafka__sasl_plain_password": "mistyped"})
    assert done.returncode == 1
    (line,) = failed(done) if arguments == "validate" else complaints(done.stderr)
    assert (
        "refuses the login: check AESTREAM_KAFKA__SASL_PLAIN_USERNAME and AESTREAM_KAFKA__SASL_PLAIN_PASSWORD" in line
    )
    assert "(SaslAuthenticationFailedError: Authentication failed: Invalid username or password)" in line
    assert "mistyped" not in line


def test_services_say_a_wrong_password_in_one_line_too(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path
) -> None:
    # A worker ends; a trainer goes on, and says with each attempt why it failed.
    settings = secured_settings(tmp_path, secured_cluster.topic()) | user.settings
    settings |= {"kafka__sasl_plain_password": "mistyped"}
    fresh = settings | {"model__store": str(tmp_path / "none")}
    with (
        Service(["worker"], settings=settings, folder=tmp_path) as worker,
        Service(["trainer"], settings=fresh, folder=tmp_path) as trainer,
    ):
        assert "refuses the login" in ended(worker)
        trainer.logged("training failed.*refuses the login")
        assert trainer.stop() == 0
    assert len(complaints(trainer.log)) == 1


def test_a_session_timeout_that_the_broker_does_not_take_is_named(
    secured_cluster: Cluster, secured_settings: Make, tmp_path: Path
) -> None:
    settings = secured_settings(tmp_path, secured_cluster.topic()) | {"kafka__session_timeout_ms": "99999999"}
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        assert worker.ended() == 1
    assert "does not accept AESTREAM_KAFKA__SESSION_TIMEOUT_MS" in worker.log.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        (
            {"security_protocol": "PLAINTEXT", "sasl_mechanism": "none"},
            "needs a login does: check AESTREAM_KAFKA__SECURITY_PROTOCOL",
            1,
        ),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "AESTREAM_KAFKA__SASL_MECHANISM", 1),
        ({"security_protocol": "SASL_SSL"}, "__SECURITY_PROTOCOL (SASL_SSL)", 1),
        ({"security_protocol": "SSL", "sasl_mechanism": "none"}, "__SECURITY_PROTOCOL (SSL)", 1),
        ({"bootstrap_servers": "PLAINTEXT"}, "does not accept a login on this listener", 1),
        (
            {"bootstrap_servers": "TLS", "security_protocol": "PLAINTEXT", "sasl_mechanism": "none"},
            "does not speak Kafka over PLAINTEXT",
            1,
        ),
        ({"bootstrap_servers": "127.0.0.1:1"}, "127.0.0.1:1: connection refused", 1),
        ({"bootstrap_servers": "no.such.host.invalid:9092"}, "name cannot be resolved", 1),
        ({"bootstrap_servers": "127.0.0.1:port"}, "write host:port", 2),
        ({"bootstrap_servers": "a..b:9092"}, "cannot use a..b:9092", 2),
        ({"security_protocol": "SASL_SSL", "ssl_cafile": "no.pem"}, "__SSL_CAFILE: no.pem cannot be read", 2),
        ({"sasl_mechanism": "none"}, "AESTREAM_KAFKA__SASL_MECHANISM is not set", 2),
    ],
)
def test_a_broker_that_cannot_be_talked_to_is_one_line_with_what_to_check(
    secured_kafka: ApacheKafka, user: User, command: Command, changes: dict[str, str], words: str, code: int
) -> None:
    listener = secured_kafka.ports.get(changes.get("bootstrap_servers", ""))
    if listener is not None:
        changes = changes | {"bootstrap_servers": f"127.0.0.1:{listener}"}
    settings = user.settings | {"topics__input": "in", "kafka__bootstrap_timeout_ms": "1500", "log__format": "plain"}
    done = command("train", settings=settings | {f"kafka__{name}": value for name, value in changes.items()})
    assert done.returncode == code
    (line,) = complaints(done.stderr)
    assert line.startswith("aestream train: ")
    assert words in line
    assert "None" not in line
