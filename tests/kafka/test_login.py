"""Each way to log in on a real broker over TLS: a worker scores with it, and a refusal is one clear line."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.secured import User, unsigned_token
from tests.kafka.service import Service
from tests.kafka.test_access import complaints

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]

_PROVIDER = """
from tests.kafka.secured import unsigned_token

class Good:
    def token(self):
        return unsigned_token({name!r}, 3600)

class Away:
    def token(self):
        raise OSError("the identity provider\\ndoes not answer")

class Mute:
    def token(self):
        return None
"""


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "CERTIFICATE"])
def test_a_worker_scores(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, mechanism: str
) -> None:
    topic = secured_cluster.topic()
    secured_cluster.send(topic, records.values(50))
    settings = secured_settings(tmp_path, topic) | user.over_tls(mechanism, tmp_path)
    user.grant_all("worker", settings)
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: secured_cluster.committed(group, topic) == {0: 50})
        assert worker.stop() == 0
    assert complaints(worker.log) == []
    assert secured_cluster.count(settings["topics__scores"]) == 50


def test_a_worker_renews_its_login_from_the_token_file(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path
) -> None:
    # The broker ends a connection whose token has expired. 1. The file is renewed. Result: the worker logs in again in
    # time, on the same connections. 2. There is no token for a while. Result: it is not ready, and waits.
    # 3. There is one again. Result: it goes on.
    seconds = 6.0
    topic = secured_cluster.topic()
    settings = secured_settings(tmp_path, topic) | user.over_tls("OAUTHBEARER", tmp_path)
    user.grant_all("worker", settings)
    group = settings["kafka__group_id"]
    file, stop, gone = Path(settings["kafka__sasl_oauth_token_file"]), threading.Event(), threading.Event()

    def renew() -> None:
        while not stop.is_set():
            fresh = file.with_suffix(".new")
            fresh.write_text("" if gone.is_set() else unsigned_token(user.name, seconds) + "\n")
            fresh.replace(file)
            stop.wait(0.5)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        with Service(["worker"], settings=settings, folder=tmp_path) as worker:
            worker.ready()
            began = time.monotonic()
            for sent in range(10, 1000, 10):
                secured_cluster.send(topic, records.values(10))
                worker.until("committed", lambda sent=sent: secured_cluster.committed(group, topic) == {0: sent})
                if time.monotonic() - began > 1.5 * seconds:
                    break
                time.sleep(0.2)
            assert complaints(worker.log) == []
            gone.set()
            worker.until("the wait", lambda: worker.get("/readyz") == (503, "waiting: an answer from Kafka\n"))
            gone.clear()
            secured_cluster.send(topic, records.values(10))
            worker.until("committed", lambda: secured_cluster.committed(group, topic) == {0: sent + 10})
            assert worker.stop() == 0
    finally:
        stop.set()
        renewing.join()
    assert "AESTREAM_KAFKA__SASL_OAUTH_TOKEN_FILE" in worker.log


def test_a_token_comes_from_a_class_of_the_users(
    secured_cluster: Cluster,
    secured_settings: Make,
    user: User,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own_tokens.py").write_text(_PROVIDER.format(name=user.name))
    monkeypatch.syspath_prepend(tmp_path)
    settings = secured_settings(tmp_path, secured_cluster.topic()) | user.over_tls("OAUTHBEARER", tmp_path)
    del settings["kafka__sasl_oauth_token_file"]
    user.grant_all("worker", settings)

    def validated(provider: str) -> subprocess.CompletedProcess[str]:
        return command("validate", settings=settings | {"kafka__sasl_oauth_token_provider": provider})

    assert validated("own_tokens:Good").returncode == 0
    variable = "AESTREAM_KAFKA__SASL_OAUTH_TOKEN_PROVIDER"
    for provider, words in (
        ("own_tokens:Away", "gives no token (OSError: the identity provider does not answer)"),
        ("own_tokens:Mute", "gives no token, but NoneType: return text"),
    ):
        done = validated(provider)
        assert done.returncode == 1
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("failed")]
        assert f"{variable}: {provider} {words}" in line
    for provider, words in (
        ("own_tokens:None", "cannot be made (AttributeError: module 'own_tokens' has no attribute 'None')"),
        ("no_such_module:Good", "cannot be made (ModuleNotFoundError: No module named 'no_such_module')"),
        ("own_tokens", "cannot be made"),
        ("builtins:dict", "has no method token()"),
    ):
        done = validated(provider)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"{variable}: {provider} {words}" in line


@pytest.mark.parametrize(
    ("mechanism", "changes", "words"),
    [
        (
            "SCRAM-SHA-512",
            {"sasl_plain_password": "mistyped"},
            "refuses the login: check AESTREAM_KAFKA__SASL_PLAIN_USERNAME and AESTREAM_KAFKA__SASL_PLAIN_PASSWORD",
        ),
        (
            "OAUTHBEARER",
            {"token": "expired"},
            "refuses the login: check the token of AESTREAM_KAFKA__SASL_OAUTH_TOKEN_FILE",
        ),
        ("OAUTHBEARER", {"token": "mistyped"}, "refuses the login: check the token"),
        ("OAUTHBEARER", {"token": ""}, "is empty: it should hold a token"),
        ("OAUTHBEARER", {"token": "mistyp\u00e9d"}, "cannot be read (it is not text)"),
        (
            "CERTIFICATE",
            {"ssl_certfile": "stranger.pem", "ssl_keyfile": "stranger.key"},
            "accepts only clients with a certificate that it trusts",
        ),
        (
            "CERTIFICATE",
            {"ssl_certfile": "none", "ssl_keyfile": "none"},
            "check AESTREAM_KAFKA__SSL_CERTFILE and AESTREAM_KAFKA__SSL_KEYFILE",
        ),
    ],
    ids=str,
)
def test_who_is_not_let_in_is_told_why_at_once(
    secured_cluster: Cluster,
    secured_settings: Make,
    user: User,
    tmp_path: Path,
    certificates: Path,
    command: Command,
    mechanism: str,
    changes: dict[str, str],
    words: str,
) -> None:
    settings = secured_settings(tmp_path, secured_cluster.topic()) | user.over_tls(mechanism, tmp_path)
    for name, value in changes.items():
        if name == "token":
            token = unsigned_token(user.name, -60) if value == "expired" else value
            Path(settings["kafka__sasl_oauth_token_file"]).write_text(token)
        else:
            settings[f"kafka__{name}"] = str(certificates / value) if value.startswith("stranger") else value
    done = command("train", settings=settings)
    assert done.returncode == 1
    (line,) = complaints(done.stderr)
    assert words in line
    assert "mistyped" not in line


@pytest.mark.parametrize(
    ("mechanism", "changes", "words"),
    [
        ("OAUTHBEARER", {"token_file": "none"}, "TOKEN_FILE is not set: OAUTHBEARER needs a file with a token"),
        ("OAUTHBEARER", {"token_file": "/no/such/file"}, "TOKEN_FILE: /no/such/file cannot be read"),
        ("OAUTHBEARER", {"token_provider": "package:Class"}, "are both set"),
        ("SCRAM-SHA-512", {"plain_password": "none"}, "PASSWORD is not set: SCRAM-SHA-512 needs it"),
    ],
    ids=str,
)
def test_what_a_login_needs_is_checked_before_it(
    user: User,
    tmp_path: Path,
    command: Command,
    mechanism: str,
    changes: dict[str, str],
    words: str,
) -> None:
    settings = user.over_tls(mechanism, tmp_path) | {"topics__input": "any"}
    for name, value in changes.items():
        prefix = "kafka__sasl_" if name.startswith("plain") else "kafka__sasl_oauth_"
        settings[prefix + name] = value
    done = command("validate", settings=settings)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line
