"""The clients' settings."""

from __future__ import annotations

import sys

import pytest

from aestream.app import clients
from aestream.errors import ConfigurationError
from aestream.settings.settings import Settings


@pytest.mark.parametrize(("chosen", "later"), [("3600000", 30_000), ("2000", 2_000)])
def test_only_the_first_contact_may_take_as_long_as_one_likes(
    chosen: str, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESTREAM_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("AESTREAM_KAFKA__BOOTSTRAP_TIMEOUT_MS", chosen)
    settings = Settings()
    assert clients.connection(settings)["bootstrap_timeout_ms"] == int(chosen)
    assert clients.connection(clients.in_contact(settings))["bootstrap_timeout_ms"] == later


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LIBRDKAFKA": "linger.ms=1"}, "set that to confluent"),
        ({"CLIENT": "confluent", "LIBRDKAFKA": "group.id=x"}, "group.id cannot be set here: set `group_id`"),
        ({"CLIENT": "confluent", "LIBRDKAFKA": "acks=0"}, "acks cannot be set: aestream decides it"),
        ({"CLIENT": "confluent", "SASL_KERBEROS_DOMAIN_NAME": "x"}, "SASL_KERBEROS_DOMAIN_NAME is set"),
    ],
)
def test_settings_that_the_second_client_cannot_use_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"AESTREAM_KAFKA__{name}", value)
    with pytest.raises(ConfigurationError, match=words) as caught:
        clients.check(Settings())
    assert "\n" not in str(caught.value)


def test_a_client_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESTREAM_KAFKA__CLIENT", "confluent")
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match=r"not installed: pip install '\.\[confluent\]'"):
        clients.check(Settings())
