"""The HTTP side: the four paths, the probes by a clock that the test owns, rude clients."""

from __future__ import annotations

import json
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from aestream.errors import ConfigurationError
from aestream.health import Health, HttpServer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(stale_after=60, clock=clock)


@pytest.fixture
def server(health: Health) -> Iterator[HttpServer]:
    registry = CollectorRegistry()
    Counter("some_things", "Some things.", registry=registry).inc(3)
    made = HttpServer("127.0.0.1", 0, health=health, registry=registry, version="1.2.3")
    yield made
    made.close()


def get(server: HttpServer, path: str, *, accept: str = "*/*", method: str = "GET") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://{server.address}{path}", method=method, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_live_as_long_as_the_loop_goes_round(server: HttpServer, health: Health, clock: Clock) -> None:
    clock.now += 60
    assert get(server, "/livez")[0] == 200
    clock.now += 1
    status, _, text = get(server, "/livez")
    assert (status, text) == (503, "last progress 61.0 s ago\n")
    health.beat()
    assert get(server, "/livez")[0] == 200


def test_ready_says_what_it_waits_for(server: HttpServer, health: Health) -> None:
    assert get(server, "/readyz")[::2] == (503, "waiting: starting\n")
    health.wait_for("a model")
    assert get(server, "/readyz")[::2] == (503, "waiting: a model\n")
    health.wait_for(None)
    assert get(server, "/readyz")[::2] == (200, "ready\n")


def test_metrics_in_both_formats_and_the_version(server: HttpServer) -> None:
    status, kind, text = get(server, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "some_things_total 3.0" in text
    status, kind, text = get(server, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")
    assert json.loads(get(server, "/version")[2]) == {"version": "1.2.3"}


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/livez/../metrics"])
def test_every_other_path_is_not_found(server: HttpServer, path: str) -> None:
    status, _, text = get(server, path)
    assert status == 404
    assert "/readyz" in text


def test_head_has_no_body(server: HttpServer, health: Health) -> None:
    health.wait_for(None)
    assert get(server, "/readyz", method="HEAD")[::2] == (200, "")


def test_a_client_that_hangs_up_leaves_no_trace(server: HttpServer, capfd: pytest.CaptureFixture[str]) -> None:
    host, port = server.address.split(":")
    for request in (b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /met", b"\x00\xff\r\n\r\n"):
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
            client.sendall(request)
    assert get(server, "/metrics")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_that_is_taken_names_the_setting(server: HttpServer, health: Health) -> None:
    host, port = server.address.split(":")
    with socket.socket() as taken:
        taken.bind((host, 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="AESTREAM_HTTP__PORT"):
            HttpServer(host, taken.getsockname()[1], health=health, registry=CollectorRegistry(), version="")
    with pytest.raises(ConfigurationError, match=r"cannot listen on no\.such\.host\.invalid"):
        HttpServer("no.such.host.invalid", int(port), health=health, registry=CollectorRegistry(), version="")
