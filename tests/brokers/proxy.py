"""toxiproxy: a connection that can be cut, slowed down, or left open without an answer."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from aestream.app.process import free_port, spawn

_START_SECONDS = 20.0


class Proxy:
    """A port that leads to another one, once `lead_to` has said to which, and what happens on the way."""

    def __init__(self, program: str, log: Path) -> None:
        self.port = free_port()
        self._api = f"http://127.0.0.1:{free_port()}"
        self._program = program
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        host, port = self._api.removeprefix("http://").split(":")
        self._process = spawn([self._program, "-host", host, "-port", port], self._log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._call("GET", "/version")
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lead_to(self, port: int) -> None:
        """Connect the port with another one."""
        wanted = {"name": "broker", "listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{port}"}
        self._call("POST", "/proxies", {**wanted, "enabled": True})

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Close all connections, and refuse new ones."""
        self._call("POST", "/proxies/broker", {"enabled": False})
        try:
            yield
        finally:
            self._call("POST", "/proxies/broker", {"enabled": True})

    @contextmanager
    def toxic(self, kind: str, *, stream: str = "downstream", **attributes: int) -> Iterator[None]:
        """One of toxiproxy's own: on what the broker says (`downstream`), or on what it is told (`upstream`)."""
        name = f"{kind}-{stream}"
        wanted = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
        self._call("POST", "/proxies/broker/toxics", wanted)
        try:
            yield
        finally:
            self._call("DELETE", f"/proxies/broker/toxics/{name}")

    def _call(self, method: str, path: str, body: Any = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        json_body = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._api + path, data, json_body, method=method)  # noqa: S310 - our own port
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            raise AssertionError(f"toxiproxy refuses {method} {path}: {error.read().decode()}") from error
