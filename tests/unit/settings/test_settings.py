"""Where settings come from, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aestream.app import clients, models
from aestream.errors import ConfigurationError
from aestream.settings import reference, settings
from aestream.settings import values as notation
from aestream.settings.connection import Kafka


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_names_that_users_rely_on_have_their_defaults() -> None:
    found = {setting.variable: setting.default for setting in reference.describe()}
    promised = {
        "AESTREAM_TOPICS__INPUT": "",
        "AESTREAM_TOPICS__SCORES": "aestream.scores",
        "AESTREAM_TOPICS__ANOMALIES": "aestream.anomalies",
        "AESTREAM_TOPICS__DEAD_LETTERS": "aestream.dead-letters",
        "AESTREAM_KAFKA__BOOTSTRAP_SERVERS": "localhost:9092",
        "AESTREAM_KAFKA__GROUP_ID": "",  # made from the topic
        "AESTREAM_KAFKA__GROUP_INSTANCE_ID": "",
        "AESTREAM_DELIVERY": "at_least_once",
        "AESTREAM_MODEL__STORE": "./models",
        "AESTREAM_MODEL__NAME": "default",
        "AESTREAM_MODEL__POLL_INTERVAL": "30s",
        "AESTREAM_FEATURES__INCLUDE": "",
        "AESTREAM_FEATURES__EXCLUDE": "",
        "AESTREAM_THRESHOLD__FALSE_ALARM_RATE": "0.001",
        "AESTREAM_TRAINER__SCHEDULE": "every 24h",
        "AESTREAM_TRAINER__SAMPLE_RECORDS": "200000",
        "AESTREAM_TRAINER__SAMPLE_PERIOD": "",
        "AESTREAM_WORKER__MAX_BATCH_RECORDS": "5000",
        "AESTREAM_WORKER__MAX_BATCH_BYTES": "16MiB",
        "AESTREAM_WORKER__MAX_BATCH_WAIT": "20ms",
        "AESTREAM_HTTP__HOST": "127.0.0.1",
        "AESTREAM_HTTP__PORT": "9108",
        "AESTREAM_LOG__FORMAT": "auto",
        "AESTREAM_LOG__LEVEL": "info",
    }
    assert {name: found.get(name) for name in promised} == promised


def test_the_order_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    file = tmp_path / "a.yaml"
    monkeypatch.setattr(settings, "_SECRETS", (str(secrets), ""))

    def group(**overrides: str) -> str | None:
        return settings.load(file, {"kafka": overrides} if overrides else None).kafka.group_id

    file.write_text("kafka: {group_id: from-file}\n")
    assert group() == "from-file"
    (secrets / "AESTREAM_KAFKA__GROUP_ID").write_text("from-secrets\n")
    assert group() == "from-secrets"
    (tmp_path / ".env").write_text("AESTREAM_KAFKA__GROUP_ID=from-dotenv\n")
    assert group() == "from-dotenv"
    monkeypatch.setenv("AESTREAM_KAFKA__GROUP_ID", "from-environment")
    assert group() == "from-environment"
    assert group(group_id="from-command-line") == "from-command-line"
    monkeypatch.setenv("AESTREAM_KAFKA__GROUP_ID", "")
    assert group() == "from-dotenv"


@pytest.mark.parametrize("name", ["c.toml", "c.yaml"])
def test_a_file_sets_and_refuses_what_it_does_not_know(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    toml = name.endswith("toml")
    file.write_text('[worker]\nmax_batch_wait = "70ms"\n' if toml else "worker: {max_batch_wait: 70ms}\n")
    assert settings.load(file).worker.max_batch_wait == pytest.approx(0.07)
    file.write_text("[worker]\nmax_wait = 1\n" if toml else "worker: {max_wait: 1}\nother: 2\n")
    with pytest.raises(ConfigurationError, match=r"unknown setting .*worker\.max_wait"):
        settings.load(file)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "kafka: [", "just text", "\x00"])
def test_a_file_that_is_no_settings_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        settings.load(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="there is no configuration file"):
        settings.load(tmp_path / "none.yaml")


def test_unrelated_variables_are_ignored_and_likely_errors_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESTREAM_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("AESTREAM_KAFKA__GRUOP_ID", "x")
    settings.load()
    assert reference.unknown_variables({"AESTREAM_KAFKA__GRUOP_ID": "x", "AESTREAM_SERVICE_HOST": ""}) == [
        "AESTREAM_KAFKA__GRUOP_ID"
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KAFKA__SECURITY_PROTOCOL", "TLS", "PLAINTEXT"),
        ("THRESHOLD__CALIBRATOR", "guess", "write pot or quantile"),
        ("FEATURES__DIRECTION", "cpu=left", "cpu=left: write up, down or both"),
        ("FEATURES__DIRECTION", "cpu", "write name=value"),
        ("FEATURES__MIN_ABS_DEVIATION", "{cpu: 1", "is not a JSON"),
        ("FEATURES__MIN_ABS_DEVIATION", "cpu=-1", "give a number from 0"),
        ("FEATURES__MIN_REL_DEVIATION", "cpu=nan", "give a number from 0"),
        ("THRESHOLD__FALSE_ALARM_RATE", "2", "above 0, at most 0.5"),
        ("THRESHOLD__FALSE_ALARM_RATE", "nan", "AESTREAM_THRESHOLD__FALSE_ALARM_RATE"),
        ("WORKER__MAX_BATCH_WAIT", "soon", "write 20ms"),
        ("WORKER__MAX_BATCH_BYTES", "much", "AESTREAM_WORKER__MAX_BATCH_BYTES"),
        ("HTTP__PORT", "70000", "65535"),
        ("MODEL__NAME", "../x", "AESTREAM_MODEL__NAME"),
        ("MODEL__NAME", "..", "AESTREAM_MODEL__NAME"),
        ("MODEL__KEEP", "1", "AESTREAM_MODEL__KEEP"),
        ("MODEL__MEMORY", "9", "give 10 rows or more, or 0"),
        ("MODEL__MEMORY", "-1", "give 10 rows or more, or 0"),
        ("MODEL__LATENT_SIZE", "0", "a whole number from 1"),
        ("TOPICS__INPUT", "a,aestream.scores", "feed itself"),
        ("TOPICS__INPUT", "^aestream.*", "feed itself"),
        ("TOPICS__INPUT", "^a(", "not a regular expression"),
        ("TOPICS__INPUT", "^a.*,b", "must be the only entry"),
    ],
)
def test_a_wrong_value_says_where_and_what(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(f"AESTREAM_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        settings.load()
    assert words in str(caught.value)
    assert f"AESTREAM_{name.split('__', maxsplit=1)[0]}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESTREAM_KAFKA__SASL_PLAIN_PASSWORD", "hunter2")
    loaded = settings.load()
    shown = "\n".join(reference.in_force(loaded))
    assert "hunter2" not in shown + repr(loaded)
    assert "AESTREAM_KAFKA__SASL_PLAIN_PASSWORD=***" in shown
    monkeypatch.setenv("AESTREAM_KAFKA__SASL_MECHANISM", "hunter2-no-mechanism")
    monkeypatch.setenv("AESTREAM_KAFKA", '{"sasl_plain_password": ["hunter2"]}')
    with pytest.raises(ConfigurationError) as caught:
        settings.load()
    assert "['hunter2']" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("20ms", 0.02), ("1.5s", 1.5), ("5m", 300), (" 24h ", 86400), ("7d", 604800), ("3", 3)]
)
def test_durations(text: str, seconds: float) -> None:
    assert notation.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["20ms", "70ms", "0.5ms", "123ms", "1500ms", "1.5s", "90s", "36h", "0s"])
def test_what_config_prints_reads_back_the_same(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AESTREAM_WORKER__MAX_BATCH_WAIT", text)
    monkeypatch.setenv("AESTREAM_WORKER__MAX_BATCH_BYTES", "1500001")
    monkeypatch.setenv("AESTREAM_TOPICS__INPUT", "a, b")
    first = settings.load()
    for line in reference.in_force(first):
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    again = settings.load()
    assert again.worker.max_batch_wait == pytest.approx(first.worker.max_batch_wait)
    assert again.worker.max_batch_bytes == 1_500_001
    assert again.topics.input == ["a", "b"]
    assert again.kafka == first.kafka


@pytest.mark.parametrize("name", ["disk.await_ms", "a=b", "a,b", " a ", "{a", "ä"])
def test_mappings_by_feature_read_back_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "c.yaml").write_text(
        f"features: {{direction: {{{json.dumps(name)}: up, b: both}}, min_rel_deviation: {{{json.dumps(name)}: 0.1}}}}"
    )
    first = settings.load(tmp_path / "c.yaml").features
    assert first.direction == {name: "up", "b": "both"}
    assert first.min_rel_deviation == {name: 0.1}
    for line in reference.in_force(settings.load(tmp_path / "c.yaml")):
        variable, _, value = line.partition("=")
        monkeypatch.setenv(variable, value)
    assert settings.load().features == first


def test_features_and_threshold_reach_the_detector() -> None:
    asked = reference.assignments(
        [
            "features.direction=disk.await_ms=up, cpu=down",
            "features.min_abs_deviation=cpu=5",
            "features.min_rel_deviation=cpu=0.1",
            "threshold.calibrator=quantile",
        ]
    )
    options = models.new_detector(settings.load(overrides=asked)).options
    assert options.direction == {"disk.await_ms": "up", "cpu": "down"}
    assert (options.min_abs_deviation, options.min_rel_deviation) == ({"cpu": 5.0}, {"cpu": 0.1})
    assert (options.calibrator, options.false_alarm_rate) == ("quantile", None)
    asked = reference.assignments(["threshold.false_alarm_rate=0.001"])
    assert models.new_detector(settings.load(overrides=asked)).options.false_alarm_rate == 0.001


def test_the_command_line_names_sections_and_refuses_the_unknown() -> None:
    assert reference.assignments(["http.port=0", "kafka.group_id=a=b", "delivery=at_least_once"]) == {
        "http": {"port": "0"},
        "kafka": {"group_id": "a=b"},
        "delivery": "at_least_once",
    }
    for wrong in ("port=0", "http.port", "http=1", "http.prot=1", "=", ""):
        with pytest.raises(ConfigurationError, match="--set"):
            reference.assignments([wrong])


def test_a_group_is_called_after_its_only_topic() -> None:
    def group(topics: str, **kafka: str) -> str:
        return clients.group_id(settings.load(None, {"topics": {"input": topics}, "kafka": kafka}))

    assert group("telemetry") == "aestream-telemetry"
    other = settings.load(None, {"topics": {"input": "telemetry"}, "model": {"name": "disk"}})
    assert clients.group_id(other) == "aestream-telemetry-disk"
    assert group("a,b", group_id="mine") == group("telemetry", group_id="mine") == "mine"
    for several in ("a,b", "^telemetry"):
        with pytest.raises(ConfigurationError, match=r"^AESTREAM_KAFKA__GROUP_ID is not set"):
            group(several)


def test_every_setting_of_the_connection_reaches_a_client() -> None:
    reached = {*clients._CONNECTION, *clients._TLS, *clients._CONSUMER, *clients._PRODUCER}
    reached |= {"group_id", "max_request_size", "transaction_timeout_ms", "client", "librdkafka"}
    reached |= {"sasl_oauth_token_file", "sasl_oauth_token_provider"}
    assert set(Kafka.model_fields) == reached


@pytest.mark.parametrize(
    "servers", ["kafka", "kafka:9092", "a.example.com:9092,b:9093", "10.0.0.1:9092", "[::1]:9092", "[fe80::1]", "::1"]
)
def test_every_way_to_write_a_brokers_address_is_taken(servers: str) -> None:
    clients.check(settings.load(overrides=reference.assignments([f"kafka.bootstrap_servers={servers}"])))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("FEATURES__WINDOW", "auto", "auto"),
        ("FEATURES__WINDOW", "10", 10),
        ("FEATURES__MAX_GAP", "30", 30.0),
        ("FEATURES__MAX_GAP", "none", None),
        ("FEATURES__HOLIDAYS", "US-CA", "US-CA"),
        ("THRESHOLD__ADAPTATION", "held", "held"),
    ],
)
def test_what_is_remembered_of_an_entity_is_set(
    variable: str, value: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AESTREAM_{variable}", value)
    section, name = variable.lower().split("__")
    assert getattr(getattr(settings.load(), section), name) == expected


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("FEATURES__WINDOW", "0", "write auto, or a whole number of records"),
        ("FEATURES__WINDOW", "ten", "write auto, or a whole number of records"),
        ("FEATURES__MAX_GAP", "0.5", "give a number of usual intervals above 1"),
        ("FEATURES__CLOCK", "maybe", "write auto, on, off"),
        ("THRESHOLD__ADAPTATION", "none", "write off, bounded, held"),
    ],
)
def test_what_cannot_be_remembered_is_one_line(
    variable: str, value: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AESTREAM_{variable}", value)
    with pytest.raises(ConfigurationError, match=f"^AESTREAM_{variable}: {advice}") as raised:
        settings.load()
    assert ";" not in str(raised.value)
