"""aestream's settings and tokens, in librdkafka's terms."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from aestream.errors import ConfigurationError, NoAnswerError, TransportError
from aestream.settings.connection import Kafka
from aestream.transport.librdkafka import options
from aestream.transport.librdkafka.errors import broker_errors
from aestream.transport.librdkafka.tokens import token_callback
from aestream.transport.librdkafka.waiting import Call
from aestream.transport.notes import Note
from aestream.transport.places import RefusedError

CONNECTION = {"bootstrap_servers": ["a:9092", "b:9092"], "client_id": "me"}


def reading(**more: Any) -> dict[str, Any]:
    return options.reading(CONNECTION | more, max_bytes=2**20, group_id="g")


def test_settings_keep_their_meaning_under_other_names() -> None:
    found = reading(security_protocol="SSL", ssl_check_hostname=False, ssl_certfile="c.pem", request_timeout_ms=7)
    assert found["bootstrap.servers"] == "a:9092,b:9092"
    assert found["ssl.endpoint.identification.algorithm"] == "none"
    assert found["ssl.key.location"] == found["ssl.certificate.location"] == "c.pem"
    assert found["socket.timeout.ms"] == 7
    assert found["ssl.ca.location"]  # the system's: librdkafka's own OpenSSL knows none


def test_every_setting_of_the_client_is_translated_or_refused() -> None:
    ours = {"client", "librdkafka", "auto_offset_reset", "sasl_oauth_token_file", "bootstrap_timeout_ms"}
    unknown = {name for name in Kafka.model_fields if options.untranslated({name: 1})} - ours
    assert unknown == {"sasl_kerberos_domain_name"}


def test_what_cannot_be_translated_is_said_in_one_line() -> None:
    with pytest.raises(ConfigurationError, match="librdkafka knows no `sasl_kerberos_domain_name`"):
        reading(sasl_kerberos_domain_name="x")


@pytest.mark.parametrize("option", ["group.id", "enable.auto.commit", "transactional.id", "acks", "logger", "retries"])
def test_options_that_aestream_decides_are_refused(option: str) -> None:
    assert option in str(options.problem({option: "x"}))


def test_an_option_with_a_setting_of_its_own_names_that() -> None:
    assert options.problem({"linger.ms": "1"}) == "linger.ms cannot be set here: set `linger_ms`"
    assert options.problem({"socket.keepalive.enable": "true"}) is None


@pytest.mark.parametrize("max_bytes", [1, 2**24, 2**30])
def test_librdkafka_accepts_what_is_chosen(max_bytes: int) -> None:
    own = {"librdkafka": {"socket.keepalive.enable": "true"}, "max_poll_interval_ms": 300_000}
    Consumer(options.reading(CONNECTION | own, max_bytes=max_bytes, group_id="g")).close()
    chosen = {"transactional_id": "t", "transaction_timeout_ms": 10_000, "request_timeout_ms": 30_000}
    Producer(options.writing(CONNECTION | own, batch_size=131_072, linger_ms=5, **chosen)).close()


def test_an_option_that_librdkafka_does_not_know_is_an_error_in_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="nonsense"), broker_errors(CONNECTION):
        Producer(options.writing(CONNECTION | {"librdkafka": {"nonsense": "1"}}))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TIMED_OUT, NoAnswerError),
        (KafkaError.ILLEGAL_GENERATION, RefusedError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, TransportError),
        (KafkaError.FENCED_INSTANCE_ID, TransportError),
    ],
)
def test_errors_are_told_apart(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, broker_errors(CONNECTION):
        raise KafkaException(KafkaError(code))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_the_reason_of_a_fatal_error_is_told() -> None:
    fatal = KafkaError(KafkaError._FATAL, f"Fatal error: {KafkaError(KafkaError.FENCED_INSTANCE_ID).str()}: and so on")
    with pytest.raises(TransportError, match="the same `group_instance_id`"), broker_errors(CONNECTION):
        raise KafkaException(fatal)


class Tokens:
    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token

    def extensions(self) -> Mapping[str, str]:
        return {"pool": "x"}


def test_a_token_is_asked_for_again_before_it_ends_and_every_few_minutes() -> None:
    end = time.time() + 100
    claims = base64.urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
    for token, seconds in ((f"e30.{claims}.", 100), ("opaque", 300), (f"e30.{claims[:9]}.", 300)):
        given, until, _, extensions = token_callback(Tokens(token))("")
        assert given == token
        assert until - time.time() == pytest.approx(seconds, abs=5)
        assert extensions == {"pool": "x"}


def test_a_call_that_takes_too_long_is_waited_for_again() -> None:
    call = Call(lambda: time.sleep(0.2))
    with pytest.raises(NoAnswerError):
        call.wait(0.01)
    assert call.over(5)
    assert call.wait(0) is None
    with pytest.raises(ZeroDivisionError):
        Call(lambda: 1 / 0).wait(5)


def test_a_note_may_end_as_texts_do_in_c() -> None:
    assert Note.read("aestream partitions=3\0") == Note(3)
    assert Note.read("aestream\0") == Note()
