"""The HTTP side: the four paths, the probes by a clock that the test owns, rude clients, TLS and a login."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import shutil
import socket
import ssl
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from aestream.errors import ConfigurationError
from aestream.service.endpoints import HttpServer
from aestream.service.health import Health
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

    def make(host: str, port: int = 0, **options: str) -> HttpServer:
        opened.append(HttpServer(host, port, health=health, registry=CollectorRegistry(), version="1", **options))
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


@pytest.fixture
def pair(certificates: Path, tmp_path: Path) -> dict[str, str]:
    """Copies of a certificate and its key, which may be replaced."""
    files = {"tls_certfile": "broker.crt", "tls_keyfile": "broker.key"}
    return {option: str(shutil.copy(certificates / name, tmp_path)) for option, name in files.items()}


def secured(server: HttpServer, path: str, authority: Path, login: str | None = None) -> tuple[int, str]:
    """Ask over TLS, perhaps with `name:password`; return the status and the name in the server's certificate."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    host, _, port = server.address.rpartition(":")
    connection = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=10, context=context)
    with contextlib.closing(connection):
        headers = {} if login is None else {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        connection.request("GET", path, headers=headers)
        certificate: Any = connection.sock.getpeercert()
        return connection.getresponse().status, certificate["subject"][0][0][1]


@pytest.mark.parametrize("host", ["127.0.0.1", *(["::1"] if ipv6() else [])])
def test_over_tls_a_login_is_needed_for_all_but_the_probes(
    host: str, listen: Callable[..., HttpServer], health: Health, pair: dict[str, str], certificates: Path
) -> None:
    health.wait_for(None)
    server = listen(host, username="scraper", password="s\u00e9cret:x", **pair)  # noqa: S106
    assert server.url.startswith("https://")
    ask = functools.partial(secured, server, authority=certificates / "authority.pem")
    for path in ("/livez", "/readyz"):
        assert ask(path) == (200, "broker")
    for path in ("/metrics", "/version"):
        assert ask(path, login="scraper:s\u00e9cret:x")[0] == 200
        for wrong in (None, "scraper:", "scraper:s\u00e9cret", "other:s\u00e9cret:x", ":", "scraper"):
            assert ask(path, login=wrong)[0] == 401
    assert ask("/nothing")[0] == 404


@pytest.mark.parametrize(
    "header", ["Basic", "Basic \u00e9", "Bearer c2NyYXBlcjpzZWNyZXQ=", "c2NyYXBlcjpzZWNyZXQ=", " "]
)
def test_a_login_that_is_none_is_refused(header: str, listen: Callable[..., HttpServer]) -> None:
    server = listen("127.0.0.1", username="scraper", password="secret")  # noqa: S106
    request = urllib.request.Request(f"{server.url}/metrics", headers={"Authorization": header})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310
    assert refused.value.code == 401
    assert refused.value.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_client_without_tls_or_without_a_word_holds_up_nobody(
    listen: Callable[..., HttpServer], pair: dict[str, str], certificates: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = listen("127.0.0.1", **pair)
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))), socket.create_connection((host, int(port))) as plain:
        plain.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert secured(server, "/metrics", certificates / "authority.pem")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_renewed_certificate_is_used_at_once(
    listen: Callable[..., HttpServer], pair: dict[str, str], certificates: Path
) -> None:
    server = listen("127.0.0.1", **pair)
    assert secured(server, "/livez", certificates / "authority.pem") == (200, "broker")
    shutil.copy(certificates / "stranger.pem", pair["tls_certfile"])  # half replaced: the former pair still serves
    assert secured(server, "/livez", certificates / "authority.pem") == (200, "broker")
    shutil.copy(certificates / "stranger.key", pair["tls_keyfile"])
    assert secured(server, "/livez", certificates / "stranger.pem") == (200, "stranger")


@pytest.mark.parametrize(
    ("option", "file"), [("tls_certfile", "none"), ("tls_certfile", "stranger.pem"), ("tls_keyfile", "client.key")]
)
def test_a_certificate_that_cannot_be_used_names_its_settings(
    option: str, file: str, listen: Callable[..., HttpServer], pair: dict[str, str], certificates: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"`tls_certfile` or `tls_keyfile`: .* cannot be used") as caught:
        listen("127.0.0.1", **(pair | {option: str(certificates / file)}))
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)
