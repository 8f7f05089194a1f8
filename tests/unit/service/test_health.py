"""The HTTP side: the four paths, the probes by a clock that the test owns, rude clients."""

from __future__ import annotations

import json
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from aestream.errors import ConfigurationError
from aestream.service.health import Health, HttpServer
from tests.unit.service.clock import Clock


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


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def listen(health: Health) -> Iterator[Callable[..., HttpServer]]:
    opened = []

    def make(host: str, port: int = 0) -> HttpServer:
        opened.append(HttpServer(host, port, health=health, registry=CollectorRegistry(), version="1"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.mark.skipif(not ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::", "::1", "[::1]"])
def test_ipv6_is_listened_on_and_its_address_is_one_of_a_url(host: str, listen: Callable[..., HttpServer]) -> None:
    server = listen(host)
    assert server.address.startswith("[::1]:" if "1" in host else "[::]:")
    assert get(server, "/version")[0] == 200


@pytest.mark.skipif(not ipv6(), reason="this machine has no IPv6")
def test_every_address_of_ipv6_takes_ipv4_as_well(listen: Callable[..., HttpServer]) -> None:
    port = listen("::").address.rpartition(":")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", ""])  # noqa: S104 - as an operator sets it
def test_names_and_every_address_are_listened_on(host: str, listen: Callable[..., HttpServer]) -> None:
    server = listen(host)
    assert get(server, "/version")[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", *(["::1"] if ipv6() else [])])
def test_a_port_that_is_taken_names_the_setting(host: str, listen: Callable[..., HttpServer]) -> None:
    address = listen(host).address
    with pytest.raises(ConfigurationError, match=r"cannot listen on \S+ \(Address already in use\)") as caught:
        listen(host, int(address.rpartition(":")[2]))
    assert f"listen on {address} " in str(caught.value)
    assert "`port`" in str(caught.value)
    assert "`host`" not in str(caught.value)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "2001:db8::1", "x" * 70])
def test_a_host_that_is_not_ours_names_the_setting(host: str, listen: Callable[..., HttpServer]) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on host") as caught:
        listen(host)
    assert host in str(caught.value)
    assert "`host`" in str(caught.value)
    assert "`port`" not in str(caught.value)
