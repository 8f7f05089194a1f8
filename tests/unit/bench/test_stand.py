"""The settings of a bench's worker: the user's own, but for what would touch what is theirs."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from aestream.bench.stand import Stand, prepare
from aestream.errors import ConfigurationError
from aestream.settings import reference
from aestream.settings.settings import load


def stand(*pairs: str, config: Path | None = None) -> Stand:
    options = argparse.Namespace(config=config, set=list(pairs))
    return prepare(options, load(config, reference.assignments(pairs)))


def test_only_names_addresses_and_places_are_other_than_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("worker:\n  max_batch_records: 77\nkafka:\n  group_id: mine\n  group_instance_id: me\n")
    monkeypatch.setenv("AESTREAM_HTTP__USERNAME", "me")
    monkeypatch.setenv("AESTREAM_HTTP__PASSWORD", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    made = stand("topics.input=telemetry", "kafka.compression_type=lz4", config=config)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert load() == made.settings  # what the worker reads is what the bench has
    assert made.settings.worker.max_batch_records == 77
    assert made.settings.kafka.compression_type == "lz4"
    assert made.settings.kafka.group_id == made.name
    assert made.settings.kafka.group_instance_id is None
    assert made.settings.http.password is None
    assert "NOTIFY_SOCKET" not in made.environment
    assert len(made.topics) == 5
    assert all(topic.startswith(f"{made.name}-") for topic in made.topics)
    assert stand("topics.input=telemetry").name != made.name


def test_what_is_off_stays_off() -> None:
    made = stand("topics.input=telemetry", "topics.scores=off", "state.topic=off")
    assert [topic.removeprefix(made.name) for topic in made.topics] == ["-input", "-anomalies", "-dead-letters"]


def test_a_pattern_that_would_let_the_users_workers_read_the_copies_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"\^\.\*-input matches aestream-bench-\w+-input, a temporary topic"):
        stand("topics.input=^.*-input", "kafka.group_id=mine")
    assert stand("topics.input=^telemetry", "kafka.group_id=mine").topics
