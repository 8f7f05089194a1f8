"""Brokers for a while: a real Apache Kafka (one JVM, KRaft) and the embedded `noida-db`, both without Docker.

    with EmbeddedKafka() as broker:
        KafkaProducer(bootstrap_servers=broker.bootstrap)

A broker listens on free loopback ports and keeps its data in a temporary folder. Leaving the `with` block
ends the process and removes the folder. If this program is killed with -9, the kernel ends the broker
(Linux); only the folder stays. Start a broker from a thread that outlives it: the kernel takes the end of
that thread for the end of the program.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aestream.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KAFKA_VERSION = "4.4.0"
JMX_EXPORTER_VERSION = "1.0.1"
_PR_SET_PDEATHSIG = 1
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>aestream</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cache_folder() -> Path:
    """Return where downloaded jars are kept: `$AESTREAM_CACHE`, else `.cache` in the current folder."""
    return Path(os.environ.get("AESTREAM_CACHE") or ".cache").resolve()


def kafka_jars() -> Path:
    """Return the folder of Apache Kafka's jars: that of `$KAFKA_HOME` if set, else fetched once with Maven.

    Raises TransportError when Maven is missing or the fetch fails.
    """
    home = os.environ.get("KAFKA_HOME")
    if home:
        jars = Path(home) / "libs"
        if not any(jars.glob("kafka_*.jar")):
            raise TransportError(
                f"KAFKA_HOME={home} holds no libs/kafka_*.jar: set it to an Apache Kafka folder or unset it",
            )
        return jars
    jars = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        with _draft(jars) as draft, tempfile.TemporaryDirectory() as project:
            Path(project, "pom.xml").write_text(_POM)
            _maven("dependency:copy-dependencies", f"-DoutputDirectory={draft}", folder=project)
    return jars


def jmx_exporter() -> Path:
    """Return the jar of the Prometheus JMX exporter agent, fetched once with Maven. Raises TransportError."""
    name = f"jmx_prometheus_javaagent-{JMX_EXPORTER_VERSION}"
    folder = cache_folder() / name
    if not folder.is_dir():
        artifact = f"io.prometheus.jmx:jmx_prometheus_javaagent:{JMX_EXPORTER_VERSION}"
        with _draft(folder) as draft:
            target = f"-DoutputDirectory={draft}"
            _maven("dependency:copy", f"-Dartifact={artifact}", target, folder=str(draft))
    return folder / f"{name}.jar"


class Broker(ABC):
    """What both brokers share: a child process, its temporary folder, waiting for its port, the end of both.

    `bootstrap`: the address for clients ("host:port"), and `folder`: the temporary folder, once started.
    """

    bootstrap: str

    def __init__(self, *, log_file: Path | None = None, start_timeout: float = 60.0) -> None:
        """Prepare. `log_file` receives what the broker prints (default: a file in its folder); times in s."""
        self._log_file = log_file
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
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
        """The process id. Raises TransportError while the broker does not run."""
        if self._process is None:
            raise TransportError("the broker is not running: start it first")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait for its port. Raises TransportError, leaving nothing behind."""
        self.folder = Path(tempfile.mkdtemp(prefix="aestream-kafka-"))
        try:
            self._launch(self.folder)
            self._await_port()
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 15.0) -> None:
        """SIGTERM, after `timeout` seconds SIGKILL; then remove the folder. Harmless when nothing runs."""
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

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open and nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        os.killpg(self.pid, signal.SIGCONT)

    @abstractmethod
    def _launch(self, folder: Path) -> None:
        """Choose ports, set `bootstrap`, and `_spawn` the process with its data in `folder`."""

    def _spawn(self, command: Sequence[str], folder: Path) -> None:
        """Start `command` in its own process group, bound to the life of this process."""
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
    """The embedded single-node broker `noida-db` (extra `demo`): up in a moment; never for production."""

    def _launch(self, folder: Path) -> None:
        program = _noida_db()
        if program is None:
            raise TransportError(
                "the embedded broker is missing: pip install '.[demo]' in your clone of the project, "
                "or pass --bootstrap-servers",
            )
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        command = [program, "start", "--only", "kafka", "--kafka-port", str(port)]
        self._spawn([*command, "--data-dir", str(folder / "data")], folder)


def _noida_db() -> str | None:
    """Return the broker's binary, None where the wheel is missing.

    Not the wheel's command: that stays as a process between us and the broker, which then outlives a kill -9.
    """
    spec = util.find_spec("noida_db")
    binary = Path(spec.origin).with_name("noida-db") if spec is not None and spec.origin else None
    if binary is None or not binary.is_file():
        return None
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)  # the wheel does not mark it
    return str(binary)


class ApacheKafka(Broker):
    """Apache Kafka itself: broker and controller in one JVM, on free loopback ports."""

    def __init__(
        self,
        *,
        properties: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = ("-Xmx512m",),
        listeners: Mapping[str, int | None] | None = None,
        log_file: Path | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        """Prepare a broker.

        `properties` add to or replace those of server.properties. `listeners` names further listeners and
        the loopback port that each advertises (of a proxy, say; None: its own); where each listens is in
        `self.ports` once started.
        """
        super().__init__(log_file=log_file, start_timeout=start_timeout)
        self._properties = dict(properties or {})
        self._jvm_options = list(jvm_options)
        self._listeners = dict(listeners or {})
        self.ports: dict[str, int] = {}

    def _launch(self, folder: Path) -> None:
        java = _java()
        classpath = f"{kafka_jars()}/*"
        self.ports = {name: free_port() for name in ("PLAINTEXT", "CONTROLLER", *self._listeners)}
        self.bootstrap = f"127.0.0.1:{self.ports['PLAINTEXT']}"
        config = folder / "server.properties"
        properties = self._server_properties(folder)
        config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        # A UUID as Kafka writes it: 22 characters of base64url. Hexadecimal ones never begin with a dash.
        tool = ["kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(config)]
        formatted = subprocess.run(
            [java, "-Xmx128m", "-cp", classpath, *tool],
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode != 0:
            reason = " ".join((formatted.stderr or formatted.stdout).split())[-300:]
            raise TransportError(f"Kafka's storage could not be formatted: {reason}")
        self._spawn([java, *self._jvm_options, "-cp", classpath, "kafka.Kafka", str(config)], folder)

    def _server_properties(self, folder: Path) -> dict[str, str]:
        def addresses(ports: Mapping[str, int]) -> str:
            return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())

        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.ports['CONTROLLER']}",
            "listeners": addresses(self.ports),
            "advertised.listeners": addresses(
                {
                    "PLAINTEXT": self.ports["PLAINTEXT"],
                    **{name: port or self.ports[name] for name, port in self._listeners.items()},
                }
            ),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in self.ports),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            **self._properties,
        }


def _java() -> str:
    """Return the Java program. Raises TransportError when there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if java is None:
        raise TransportError(
            "Java is missing: install a runtime, 17 or later (Debian: `apt install openjdk-17-jre-headless`)",
        )
    return java


def _maven(*arguments: str, folder: str) -> None:
    """Run Maven quietly in `folder`. Raises TransportError."""
    maven = shutil.which("mvn")
    if maven is None:
        raise TransportError(
            "Maven is missing, it fetches Kafka: install it (Debian: `apt install maven`), or set KAFKA_HOME",
        )
    command = [maven, "-q", "-B", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = " ".join(result.stdout.split())[:300]
        raise TransportError(f"Maven could not fetch the jars (mvn {arguments[0]}): {reason}")


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give a draft folder that becomes `target` in one step: half a download never passes for a whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield draft
        with contextlib.suppress(OSError):  # another process finished first: its folder is as good
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log`, ends with this one, and is out of reach of the terminal's Ctrl-C."""
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
    """In the child: let the kernel kill it when its parent dies, however that happens."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
