"""Against a broker with logins and rules: what `validate` promises holds, and a refusal is one line with its remedy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.app import topics
from aestream.settings import reference
from aestream.settings.settings import load
from tests.brokers.apache import ApacheKafka
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.secured import RESULTS, Right, User, rights
from tests.kafka.service import Service

_USEFUL = [right for right in rights("worker") if right.on == "state topic"]
_NEEDED = [right for right in rights("worker") if right not in _USEFUL]
_REMEMBERING = {"features__window": "5", "features__key": "host", "trainer__min_records": "100"}

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
    secured_cluster.send(topic, [*records.values(600), records.anomaly(), b"{"])
    settings = secured_settings(tmp_path, topic) | user.over_tls("PLAIN", tmp_path) | _REMEMBERING
    user.grant_all("trainer", settings)
    trained = command("train", settings=settings)
    assert trained.returncode == 0, trained.stderr
    assert "ERROR" not in trained.stderr.upper()
    user.grant_all("worker", settings)
    validated = command("validate", settings=settings)
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert {line.split()[0] for line in validated.stdout.splitlines()} == {"ok"}
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: secured_cluster.committed(group, topic) == {0: 602})
        assert worker.stop() == 0
    assert complaints(worker.log) == []
    assert secured_cluster.count(settings["topics__scores"]) == 601
    assert secured_cluster.count(settings["topics__dead_letters"]) == 1
    assert secured_cluster.count(settings["state__topic"]) > 0


@pytest.mark.parametrize("right", _NEEDED, ids=str)
def test_each_right_that_a_worker_lacks_is_named_by_validate_and_by_the_worker(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command, right: Right
) -> None:
    assert right.otherwise == "does not start"
    settings = secured_settings(tmp_path, secured_cluster.topic()) | user.settings
    ((kind, name, _),) = right.rules(settings)
    user.grant_all("worker", settings, without=right)

    def said(problem: str) -> None:
        (line,) = failed(command("validate", settings=settings))
        assert f"{kind} {name}: {problem} to this user: grant {right.operation} on it" in line

    said("is denied" if kind == "group" else "is not shown")
    user.grant((kind, name, "DESCRIBE"))
    said("is denied")
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        assert f"{kind} {name} is denied to this user: grant {right.operation} on it" in ended(worker)


def test_a_worker_that_may_not_use_its_state_topic_scores_all_the_same(
    secured_cluster: Cluster, secured_settings: Make, new_user: Callable[[], User], tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(600))
    common = secured_settings(tmp_path, topic) | _REMEMBERING
    assert command("train", settings=common).returncode == 0
    for right in _USEFUL:
        user, group = new_user(), secured_cluster.name("group")
        settings = common | user.settings | {"kafka__group_id": group}
        user.grant_all("worker", settings, without=right)
        validated = command("validate", settings=settings)
        assert validated.returncode == 0
        told = f"topic {settings['state__topic']}: is denied to this user: grant {right.operation} on it"
        (line,) = [line for line in validated.stdout.splitlines() if line.startswith("warning")]
        assert told in line
        with Service(["worker"], settings=settings, folder=tmp_path) as worker:
            worker.until("all committed", lambda group=group: secured_cluster.committed(group, topic) == {0: 600})
            assert worker.stop() == 0
        (line,) = complaints(worker.log)
        assert told.replace(": is", " is") in line


@pytest.mark.parametrize("right", rights("trainer"), ids=str)
def test_each_right_that_a_trainer_lacks_is_named(
    secured_cluster: Cluster,
    secured_settings: Make,
    user: User,
    tmp_path: Path,
    command: Command,
    right: Right,
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(600))
    settings = secured_settings(tmp_path, topic) | user.settings | _REMEMBERING | {"model__keep": "2"}
    for seed in range(2):  # so that the next one makes it ask which versions the workers use
        records.train(Path(settings["model__store"]), seed=seed)
    user.grant_all("trainer", settings, without=right)
    ((kind, name, operation),) = right.rules(settings)
    trained = command("train", settings=settings)
    told = f"{kind} {name} is {'denied' if kind == 'group' else 'not shown'} to this user: grant {operation} on it"
    if right.on == "consumer group":
        assert trained.returncode == 0
        assert f"only the newest are kept: {told}" in trained.stderr
    else:
        assert trained.returncode == 1
        assert told in trained.stderr


def test_a_pattern_finds_what_is_shown(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    prefix = secured_cluster.name("many")
    shown, denied, hidden = (f"{prefix}.{name}" for name in ("shown", "denied", "hidden"))
    settings = secured_settings(tmp_path, f"^{prefix}") | user.settings
    user.grant_all("worker", settings | {"topics__input": shown})
    secured_cluster.admin.create_topics({name: {"num_partitions": 1} for name in (shown, denied, hidden)})
    well = command("validate", settings=settings)
    assert well.returncode == 0, well.stdout
    assert f"ok       topic {shown}: 1 partition, readable" in well.stdout
    assert denied not in well.stdout
    user.grant(("topic", denied, "describe"))
    (line,) = failed(command("validate", settings=settings))
    assert f"topic {denied}: is denied to this user: grant READ on it" in line
    assert hidden not in well.stdout


def test_topics_are_made_with_the_right_to_and_no_more(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic(partitions=2)
    fresh = {setting: secured_cluster.name("fresh") for setting in RESULTS.values()}
    settings = secured_settings(tmp_path, topic) | user.settings | fresh
    described, create, describe, alter = rights("topics create")

    def refused(words: str) -> None:
        done = command("topics", "create", settings=settings)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert words in line

    refused("not shown to this user")
    user.grant(*described.rules(settings), *describe.rules(settings), *alter.rules(settings))
    for name in fresh.values():
        refused(f"topic {name} cannot be created: grant this user CREATE on it")
        user.grant(("topic", name, create.operation))
    made = command("topics", "create", settings=settings)
    assert made.returncode == 0, made.stderr
    assert {len(secured_cluster.ends(name)) for name in fresh.values()} == {2}
    secured_cluster.add_partitions(topic, 3)
    grown = command("topics", "create", settings=settings)
    assert grown.returncode == 0, grown.stderr
    assert grown.stdout.count("now has 3 partitions") == len(fresh)


def test_topics_get_no_more_partitions_without_the_right_to(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic(partitions=2)
    settings = secured_settings(tmp_path, topic) | user.settings  # the results have one partition
    described, create, describe, alter = rights("topics create")
    user.grant(*described.rules(settings), *create.rules(settings))
    blind = command("topics", "create", settings=settings)
    assert blind.returncode == 0
    assert blind.stdout.startswith("nothing to create")
    user.grant(*describe.rules(settings))
    denied = command("topics", "create", settings=settings)
    assert denied.returncode == 1
    for _, name, operation in alter.rules(settings):
        assert f"topic {name} cannot be given more partitions: grant this user {operation} on it" in denied.stderr


def test_to_read_the_anomalies_is_enough_to_follow_them(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    settings = secured_settings(tmp_path, secured_cluster.topic()) | user.settings
    (right,) = rights("tail")
    denied = command("tail", settings=settings)
    assert denied.returncode == 1
    assert f"{settings['topics__anomalies']} is not shown to this user: grant {right.operation} on it" in denied.stderr
    secured_cluster.send(settings["topics__anomalies"], [b'{"score": 2.5}'])
    user.grant_all("tail", settings)
    loaded = load(overrides=reference.assignments([f"{k.replace('__', '.')}={v}" for k, v in settings.items()]))
    assert list(next(topics.follow_anomalies(loaded, 1)).values) == [b'{"score": 2.5}']


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
    an_hour = {"kafka__session_timeout_ms": "3600000", "kafka__max_poll_interval_ms": "3600000"}
    settings = secured_settings(tmp_path, secured_cluster.topic()) | an_hour
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
