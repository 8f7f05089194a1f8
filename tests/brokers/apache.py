"""A real Apache Kafka for a while: one JVM, KRaft, its data in a temporary folder. Needs Java 17 and Maven."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from aestream.app.process import free_port
from aestream.demo.brokers import Broker
from aestream.errors import TransportError
from tests.brokers.jars import kafka_jars

# How often a broker looks for transactions to abort: ten seconds by default.
QUICK_ABORTS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}


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
        node: int = 1,
        voters: Mapping[int, int] | None = None,
        cluster_id: str | None = None,
    ) -> None:
        """Prepare a broker.

        `properties` add to or replace those of server.properties. `listeners` names further listeners and
        the loopback port that each advertises (of a proxy, say; None: its own); where each listens is in
        `self.ports` once started. One of several brokers is told its own number, `node`, the ports of all controllers
        by number, `voters`, and the `cluster_id` that they share.
        """
        super().__init__(log_file=log_file, start_timeout=start_timeout)
        self._node = node
        self._voters = voters
        self._cluster_id = cluster_id
        self._command: list[str] = []
        self._properties = dict(properties or {})
        self._jvm_options = list(jvm_options)
        self._listeners = dict(listeners or {})
        self.ports: dict[str, int] = {}

    def _launch(self, folder: Path) -> str:
        java = _java()
        classpath = f"{kafka_jars()}/*"
        self.ports = {name: free_port() for name in ("PLAINTEXT", "CONTROLLER", *self._listeners)}
        if self._voters is not None:
            self.ports["CONTROLLER"] = self._voters[self._node]
        config = folder / "server.properties"
        properties = self._server_properties(folder)
        config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        # A UUID as Kafka writes it: 22 characters of base64url. Hexadecimal ones never begin with a dash.
        cluster_id = self._cluster_id or uuid.uuid4().hex[:22]
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(config)]
        formatted = subprocess.run(
            [java, "-Xmx128m", "-cp", classpath, *tool],
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode != 0:
            reason = " ".join((formatted.stderr or formatted.stdout).split())[-300:]
            raise TransportError(f"Kafka's storage could not be formatted: {reason}")
        self._command = [java, *self._jvm_options, "-cp", classpath, "kafka.Kafka", str(config)]
        self._spawn(self._command, folder)
        return f"127.0.0.1:{self.ports['PLAINTEXT']}"

    def halt(self) -> None:
        """End the process as a power cut does. Its data stays, and so does its place."""
        os.killpg(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def revive(self) -> None:
        """Start it again after `halt`, on the same ports with the same data. Raises TransportError."""
        if self.folder is None:
            raise TransportError("the broker was never started")
        self._spawn(self._command, self.folder)
        self._await_port()

    def _server_properties(self, folder: Path) -> dict[str, str]:
        def addresses(ports: Mapping[str, int]) -> str:
            return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())

        return {
            "process.roles": "broker,controller",
            "node.id": str(self._node),
            "controller.quorum.voters": ",".join(
                f"{node}@127.0.0.1:{port}"
                for node, port in (self._voters or {self._node: self.ports["CONTROLLER"]}).items()
            ),
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
            "log.retention.ms": "-1",  # some tests write records of 1970
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


def pause(broker: Broker) -> None:
    """Freeze the process (SIGSTOP): connections stay open and nothing answers."""
    os.killpg(broker.pid, signal.SIGSTOP)


def resume(broker: Broker) -> None:
    """Let a paused process go on (SIGCONT)."""
    os.killpg(broker.pid, signal.SIGCONT)
