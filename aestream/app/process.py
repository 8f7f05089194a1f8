"""The worker as a separate process, as in production: start it, query its HTTP endpoints, stop it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from aestream.errors import TransportError

_HTTP_SECONDS = 2.0
_LOG_LINES = 5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


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
        found = self.metrics().get("aestream_consumer_lag_records")
        return None if found is None else int(found)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name, each the sum over its labels; nothing while it does not answer."""
        found: dict[str, float] = {}
        with contextlib.suppress(OSError):
            for family in text_string_to_metric_families(self._get("/metrics")):
                for sample in family.samples:
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=_HTTP_SECONDS) as response:  # noqa: S310 - ours
            text: str = response.read().decode()
        return text

    def _last_lines(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines() if self._log_file.exists() else []
        return "\n".join(lines[-_LOG_LINES:]) or "(it printed nothing)"


def free_port() -> int:
    """Return a loopback port that nothing is listening on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log`, ends with this one, and does not receive the terminal's Ctrl-C."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call that takes no lock
        )


def die_with_parent() -> None:
    """In the child: ask the kernel to kill it when its parent ends, for whatever reason."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
