"""The worker as a separate process, as in production: start it, query its HTTP endpoints, stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from aestream.demo.brokers import spawn
from aestream.errors import TransportError

_HTTP_SECONDS = 2.0
_LOG_LINES = 5


class WorkerProcess:
    """`aestream worker` with the given environment; its log goes to a file."""

    def __init__(self, environment: Mapping[str, str], *, address: str, log_file: Path) -> None:
        self.url = f"http://{address}"
        self._environment = environment
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. It ends when this process ends, and does not receive the terminal's Ctrl-C."""
        self._process = spawn([sys.executable, "-m", "aestream", "worker"], self._log_file, self._environment)

    def stop(self, timeout: float = 10.0) -> None:
        """Send SIGTERM (it finishes its batch, commits and leaves the group), then SIGKILL after `timeout` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait until it has its model and its partitions. Raises TransportError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        answer = "nothing"
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError):
                try:
                    self._get("/readyz")
                except urllib.error.HTTPError as error:
                    answer = error.read().decode(errors="replace").strip()
                else:
                    return
            time.sleep(0.1)
        raise TransportError(f"the worker is not ready after {timeout:.0f} s, {self.url}/readyz answers: {answer}")

    def check(self) -> None:
        """Raise TransportError with its last log lines if it has ended."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise TransportError(f"the worker ended with exit code {code}; its last lines:\n{self._last_lines()}")

    def lag(self) -> int | None:
        """The number of records that it has yet to read, from /metrics; None if unknown."""
        try:
            text = self._get("/metrics")
        except OSError:
            return None
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            if family.name == "aestream_consumer_lag_records"
            for sample in family.samples
        ]
        return int(sum(found)) if found else None

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=_HTTP_SECONDS) as response:  # noqa: S310 - ours
            text: str = response.read().decode()
        return text

    def _last_lines(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines() if self._log_file.exists() else []
        return "\n".join(lines[-_LOG_LINES:]) or "(it printed nothing)"
