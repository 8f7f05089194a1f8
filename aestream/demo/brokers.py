"""A temporary broker: the embedded `noida-db`, which needs neither Docker nor Java. Others can share the base class.

    with EmbeddedKafka() as broker:
        KafkaProducer(bootstrap_servers=broker.bootstrap)

A broker listens on free loopback ports and keeps its data in a temporary folder. Leaving the `with` block
ends the process and removes the folder. If this program is killed with -9, the kernel ends the broker
(on Linux) and only the folder remains. Start a broker from a thread that outlives it: when that thread ends, the
kernel ends the broker too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aestream.app.process import free_port, spawn
from aestream.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Broker(ABC):
    """What brokers have in common: a child process and its temporary folder, start and stop.

    Once started, `bootstrap` is the address for clients ("host:port") and `folder` the temporary folder.
    """

    def __init__(self, *, log_file: Path | None = None, start_timeout: float = 60.0) -> None:
        """Prepare. `log_file` receives the broker's output (default: a file in its folder); times in seconds."""
        self._log_file = log_file
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap = ""
        self.folder: Path | None = None

    def __enter__(self) -> Self:
        """Start, and wait until clients can connect. Raises TransportError."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and remove the folder."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. Raises TransportError if the broker is not running."""
        if self._process is None:
            raise TransportError("the broker is not running: start it first")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait for its port. Raises TransportError, leaving nothing behind."""
        self.folder = Path(tempfile.mkdtemp(prefix="aestream-kafka-"))
        try:
            self.bootstrap = self._launch(self.folder)
            self._await_port()
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 15.0) -> None:
        """Send SIGTERM, then SIGKILL after `timeout` seconds, and remove the folder. Harmless if nothing is running."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)  # a paused process would not see the SIGTERM
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        folder, self.folder = self.folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    @abstractmethod
    def _launch(self, folder: Path) -> str:
        """Choose ports and `_spawn` the process with its data in `folder`; return the address for clients."""

    def _spawn(self, command: Sequence[str], folder: Path) -> None:
        """Start `command` in its own process group. It ends when this process ends."""
        self._process = spawn(command, self._log_file or folder / "broker.log")

    def _await_port(self) -> None:
        host, port = self.bootstrap.split(":")
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise TransportError(f"the broker ended while starting: {self._last_line()}")
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
                return
            time.sleep(0.1)
        waited = f"{self._start_timeout:.0f} s"
        raise TransportError(f"no broker on {self.bootstrap} after {waited}: {self._last_line()}")

    def _last_line(self) -> str:
        log = self._log_file or (self.folder or Path()) / "broker.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1].strip() if lines else "it printed nothing"


class EmbeddedKafka(Broker):
    """The embedded single-node broker `noida-db` (extra `demo`): starts at once; not for production."""

    def _launch(self, folder: Path) -> str:
        program = _noida_db()
        if program is None:
            raise TransportError(
                "the embedded broker is missing: pip install '.[demo]' in your clone of the project, "
                "or pass --bootstrap-servers",
            )
        port = free_port()
        command = [program, "start", "--only", "kafka", "--kafka-port", str(port)]
        self._spawn([*command, "--data-dir", str(folder / "data")], folder)
        return f"127.0.0.1:{port}"


def _noida_db() -> str | None:
    """Return the broker's binary, or None if the wheel is not installed.

    Not the wheel's command: it stays as a process between us and the broker, which would then survive a kill -9.
    """
    spec = util.find_spec("noida_db")
    binary = Path(spec.origin).with_name("noida-db") if spec is not None and spec.origin else None
    if binary is None or not binary.is_file():
        return None
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)  # the wheel does not set the mode
    return str(binary)
