"""The HTTP side of a service: /metrics /livez /readyz /version, and 404 for everything else."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from aestream.errors import ConfigurationError

_LOOK_SECONDS = 0.05  # how often the server checks for a stop, which waits that long
_PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)


class Health:
    """What the probes ask: whether the loop makes progress, and what the service still waits for.

    `stale_after` is in seconds; `clock` returns seconds and never runs back.
    """

    def __init__(self, *, stale_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_after = stale_after
        self._clock = clock
        self._last = clock()
        self._waiting: str | None = "starting"
        self._failed: str | None = None

    def fail(self, why: str) -> None:
        """The service will not recover: it is not live any more, whatever beats."""
        self._failed = why

    @property
    def failed(self) -> bool:
        """Whether it is known that the service will not recover."""
        return self._failed is not None

    def beat(self) -> None:
        """Note that the loop has run once more. A broker that is away does not stop it."""
        self._last = self._clock()

    def wait_for(self, what: str | None) -> None:
        """Say what the service waits for before it is ready; None makes it ready."""
        self._waiting = what

    def live(self) -> tuple[bool, str]:
        """Whether the loop has run lately, and if not, or if it will not recover, why."""
        if self._failed is not None:
            return False, self._failed
        age = self._clock() - self._last
        return age <= self._stale_after, f"last progress {age:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Whether the service does its work, and if not, what it waits for."""
        waiting = self._waiting
        return waiting is None, "ready" if waiting is None else f"waiting: {waiting}"


class HttpServer:
    """Serves the four paths on a thread of its own. Port 0 picks a free one; `address` tells which."""

    def __init__(self, host: str, port: int, *, health: Health, registry: CollectorRegistry, version: str) -> None:
        def probe(check: Callable[[], tuple[bool, str]]) -> Callable[[str], tuple[int, str, bytes]]:
            def answer(_accept: str) -> tuple[int, str, bytes]:
                good, text = check()
                return 200 if good else 503, "text/plain; charset=utf-8", f"{text}\n".encode()

            return answer

        def metrics(accept: str) -> tuple[int, str, bytes]:
            encode, kind = choose_encoder(accept)
            return 200, kind, encode(registry)

        def build(_accept: str) -> tuple[int, str, bytes]:
            return 200, "application/json", json.dumps({"version": version}).encode()

        routes = {
            "/metrics": metrics,
            "/livez": probe(health.live),
            "/readyz": probe(health.ready),
            "/version": build,
        }
        self._server = _listen(host, port, _handler(routes))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_SECONDS,), name="http", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as host:port, or [host]:port for IPv6."""
        return _address(*self._server.server_address[:2])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    """A server on the first address of a host, IPv4 before IPv6. Raises ConfigurationError."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        return _Server(family, address, handler)
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

    def __init__(self, family: int, address: Any, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Accept IPv4 as well on ::, and skip the look-up of the host's full name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.server_address[0] != "::")
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away before its answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(routes: dict[str, Callable[[str], tuple[int, str, bytes]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a client that sends nothing must not hold a thread

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            if route is None:
                status, kind, body = (
                    404,
                    "text/plain; charset=utf-8",
                    f"not found; try {' '.join(routes)}\n".encode(),
                )
            else:
                status, kind, body = route(self.headers.get("Accept", ""))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Probes come every few seconds: no access log."""

    return Handler
