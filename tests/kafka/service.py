"""`python -m aestream ...` as a process of its own, watched through its log and its HTTP address."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from tests.kafka.cluster import SECONDS, wait_for

ROOT = Path(__file__).parents[2]

# Settings with which the records of each host are judged together, at a rate that a small sample supports.
BY_HOST = {
    "features__window": "auto",
    "features__key": "host",
    "features__time": "at",
    "threshold__false_alarm_rate": "0.01",
}

Variables = Mapping[str, str | None]  # None: not there
# For a process that is interrupted anywhere: coverage's lock is never freed when an interrupt hits its holder.
UNMEASURED: Variables = {"COVERAGE_PROCESS_CONFIG": None}


def environment(settings: Mapping[str, str], variables: Variables | None = None) -> dict[str, str]:
    """The environment of a command: ours, with `section__name=value` as variables, and `variables` as they are."""
    ours = {f"AESTREAM_{name.upper()}": value for name, value in settings.items()}
    fixed = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    all_of_it = {**os.environ, **fixed, **ours, **(variables or {})}
    return {name: value for name, value in all_of_it.items() if value is not None}


def run(
    *arguments: str, settings: Mapping[str, str], folder: Path, timeout: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    command = [sys.executable, "-m", "aestream", *arguments]
    env = environment(settings)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout, check=False)


class Service:
    """A worker or a trainer. Leaving the `with` block kills it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        settings: Mapping[str, str],
        folder: Path,
        output: IO[str] | None = None,
        module: str | None = None,
        variables: Variables | None = None,
    ) -> None:
        """Start a command, or in its place a `module` of the tests, with its own arguments.

        `variables` are further ones of its environment, as they are.
        """
        self.log_file = folder / f"{arguments[0]}-{len(list(folder.glob('*.log')))}.log"
        defaults = {"http__port": "0", "log__format": "plain"}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *(("aestream", *arguments) if module is None else module.split())],
                cwd=folder,
                env=environment({**defaults, **settings}, variables),
                stdout=output or subprocess.DEVNULL,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = SECONDS) -> int:
        """Wait for the end; return the exit code."""
        wait_for("the end of the process", lambda: self.process.poll() is not None, seconds=seconds, context=self._log)
        return self.process.returncode

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def logged(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the log."""
        return self.until(f"the log line {pattern!r}", lambda: re.search(pattern, self.log))  # type: ignore[return-value]

    def until(self, what: str, check: object, *, seconds: float = SECONDS) -> object:
        """Wait for something, as long as the process lives."""

        def look() -> object:
            found = check()  # type: ignore[operator]
            assert found or self.process.poll() is None, f"ended with {self.process.returncode}\n{self.log}"
            return found

        return wait_for(what, look, seconds=seconds, context=self._log)

    def get(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        """Ask the service; (0, "") while it does not listen."""
        address = re.search(r"metrics at (http://\S+)/metrics", self.log)
        if address is None:
            return 0, ""
        request = urllib.request.Request(address[1] + path, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> Service:
        """Wait until /readyz says so."""
        self.until("ready", lambda: self.get("/readyz")[0] == 200)
        return self

    def metric(self, name: str) -> float:
        """The value of a sample, named with its labels as /metrics writes them; 0 while there is none."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def _log(self) -> str:
        return f"{self.log}\nreadyz: {self.get('/readyz')}"
