"""The HTTP side of a service: /metrics /livez /readyz /version, and 404 for everything else; over TLS if wanted."""

from __future__ import annotations

import base64
import contextlib
import errno
import hmac
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from aestream.errors import ConfigurationError
from aestream.service.health import Health

_LOOK_SECONDS = 0.05  # how often the server checks for a stop, which waits that long
_SILENT_SECONDS = 10  # a client that sends nothing must not hold a thread
_PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    status: int
    kind: str
    body: bytes


class HttpServer:
    """Serves the four paths on a thread of its own. Port 0 picks a free one; `address` tells which.

    With `tls_certfile` (and `tls_keyfile`, unless the key is in it) it speaks TLS only. With `username` and `password`,
    both must come with each request but the probes, which orchestrators send without. Raises ConfigurationError when it
    cannot listen, or a file cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        health: Health,
        registry: CollectorRegistry,
        version: str,
        tls_certfile: str | None = None,
        tls_keyfile: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        def probe(check: Callable[[], tuple[bool, str]]) -> Callable[[str], Answer]:
            def answer(_accept: str) -> Answer:
                good, text = check()
                return Answer(200 if good else 503, _TEXT, f"{text}\n".encode())

            return answer

        def metrics(accept: str) -> Answer:
            encode, kind = choose_encoder(accept)
            return Answer(200, kind, encode(registry))

        def build(_accept: str) -> Answer:
            return Answer(200, "application/json", json.dumps({"version": version}).encode())

        probes = {"/livez": probe(health.live), "/readyz": probe(health.ready)}
        others = {"/metrics": metrics, "/version": build}
        login = None if username is None else base64.b64encode(f"{username}:{password}".encode())
        self._tls = None if tls_certfile is None else _Certificate(tls_certfile, tls_keyfile)
        self._server = _listen(host, port, _handler(probes, others, login), self._tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_SECONDS,), name="http", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as host:port, or [host]:port for IPv6."""
        return _address(*self._server.server_address[:2])

    @property
    def url(self) -> str:
        """The same with http:// or https://."""
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Certificate:
    """The server's certificate and key, read again when a file has changed: whatever renews them needs no restart."""

    def __init__(self, certfile: str, keyfile: str | None) -> None:
        self._files = (certfile, keyfile)
        self._seen: list[int] = []
        try:
            self._context = self._read()
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"`tls_certfile` or `tls_keyfile`: {', '.join(filter(None, self._files))} cannot be used ({reason})"
            ) from error

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Shake hands with a client. Raises OSError."""
        with contextlib.suppress(OSError, ValueError):  # half replaced: the former pair still serves
            if self._changes() != self._seen:
                self._context = self._read()
        return self._context.wrap_socket(connection, server_side=True)

    def _read(self) -> ssl.SSLContext:
        changes = self._changes()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files, password="")  # None would ask on the terminal
        self._seen = changes
        return context

    def _changes(self) -> list[int]:
        return [Path(file).stat().st_mtime_ns for file in self._files if file is not None]


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler], tls: _Certificate | None) -> _Server:
    """A server on the first address of a host, IPv4 before IPv6. Raises ConfigurationError."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        return _Server(family, address, handler, tls)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) in _PORT_ERRORS:
            raise ConfigurationError(
                f"cannot listen on {_address(host, port)} ({reason}): set `port` to a free port, or to 0"
            ) from error
        raise ConfigurationError(
            f"cannot listen on host {host!r} ({reason}): set `host` to an address of this machine, such "
            "as 127.0.0.1, 0.0.0.0 or ::"
        ) from error


def _address(host: object, port: object) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, family: int, address: Any, handler: type[BaseHTTPRequestHandler], tls: _Certificate | None
    ) -> None:
        self.address_family = family
        self._tls = tls
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Accept IPv4 as well on ::, and skip the look-up of the host's full name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.server_address[0] != "::")
        TCPServer.server_bind(self)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer, on a thread of the request's own: a handshake may take its time."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_SILENT_SECONDS)
        with self._tls.wrap(request) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away before its answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(
    probes: Mapping[str, Callable[[str], Answer]],
    others: Mapping[str, Callable[[str], Answer]],
    login: bytes | None,
) -> type[BaseHTTPRequestHandler]:
    paths = " ".join(sorted({*probes, *others}))

    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENT_SECONDS

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            route = probes.get(path) or others.get(path)
            if route is None:
                answer = Answer(404, _TEXT, f"not found; try {paths}\n".encode())
            elif path in others and not self._may():
                answer = Answer(401, _TEXT, b"a user name and a password are needed\n")
            else:
                answer = route(self.headers.get("Accept", ""))
            self.send_response(answer.status)
            if answer.status == 401:  # noqa: PLR2004
                self.send_header("WWW-Authenticate", 'Basic realm="aestream", charset="UTF-8"')
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body)

        do_HEAD = do_GET  # noqa: N815

        def _may(self) -> bool:
            """Whether the request carries the login; the comparison takes as long wherever they differ."""
            scheme, _, given = self.headers.get("Authorization", "").partition(" ")
            known = scheme.lower() == "basic" and hmac.compare_digest(given.strip().encode(), login or b"")
            return login is None or known

        def log_message(self, *_: Any) -> None:
            """Probes come every few seconds: no access log."""

    return Handler
