"""The settings that demo and worker share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from aestream.demo.options import add_arguments
from aestream.demo.stage import prepare, user_settings
from aestream.errors import ConfigurationError
from aestream.settings import settings


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    return parser.parse_args(arguments)


def test_the_worker_gets_the_same_settings_by_its_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[output]\ntop_features = 3\n")
    monkeypatch.setenv("AESTREAM_MODEL__NAME", "mine")
    monkeypatch.setenv("AESTREAM_FEATURES__KEY", "host")  # of the user's topic, not of the demo's
    chosen = options("--set", "output.latent=true", "--false-alarm-rate", "0.02", "--config", str(tmp_path / "a.toml"))
    stage = prepare(chosen, bootstrap="127.0.0.1:1234", folder=tmp_path, time="when")
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    assert settings.load() == stage.settings
    assert stage.settings.output.latent
    assert stage.settings.output.top_features == 3
    assert stage.settings.model.name == "mine"
    assert (stage.settings.features.key, stage.settings.features.time) == ([], "when")
    assert stage.settings.threshold.false_alarm_rate == 0.02


def test_the_users_rate_stays_and_their_topics_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AESTREAM_THRESHOLD__FALSE_ALARM_RATE", "0.01")
    monkeypatch.setenv("AESTREAM_TOPICS__INPUT", "production")
    monkeypatch.setenv("AESTREAM_TOPICS__SCORES", "off")
    monkeypatch.setenv("AESTREAM_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    stage = prepare(options(), bootstrap="127.0.0.1:1234", folder=tmp_path, time="time")
    assert stage.settings.threshold.false_alarm_rate == 0.01
    assert stage.settings.kafka.security_protocol == "PLAINTEXT"
    assert set(stage.topics.values()) == {
        "aestream-demo-input", "aestream-demo-scores", "aestream-demo-anomalies", "aestream-demo-dead-letters",
    }  # fmt: skip
    assert stage.created[-1] == "aestream-demo-state"
    assert os.environ["AESTREAM_TOPICS__INPUT"] == "production"


def test_on_a_shared_kafka_every_run_has_its_own_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AESTREAM_KAFKA__SECURITY_PROTOCOL", "SSL")
    shared = options("--bootstrap-servers", "kafka:9092")
    first, second = (prepare(shared, bootstrap="kafka:9092", folder=tmp_path, time="time") for _ in range(2))
    assert not set(first.topics.values()) & set(second.topics.values())
    assert first.settings.kafka.group_id != second.settings.kafka.group_id
    assert first.settings.kafka.security_protocol == "SSL"


def test_the_printed_command_is_the_one_that_runs(tmp_path: Path) -> None:
    stage = prepare(options(), bootstrap="127.0.0.1:1234", folder=tmp_path / "a b", time="time")
    command = stage.command("worker")
    assert command.startswith("AESTREAM_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1234 ")
    assert f"AESTREAM_MODEL__STORE='{tmp_path}/a b/models'" in command
    assert command.endswith(" aestream worker")


def test_wrong_settings_are_named_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError, match="AESTREAM_THRESHOLD__FALSE_ALARM_RATE"):
        user_settings(options("--false-alarm-rate", "7"))
    for wrong in (["--rate", "-1"], ["--limit", "0"], ["--rate", "fast"], ["--interval", "0"], ["--interval", "x"]):
        with pytest.raises(SystemExit):
            options(*wrong)
