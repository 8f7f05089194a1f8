"""The scene: broker and clients brought up on one processor, the load's course, a row a second of it all."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from aestream.app.process import free_port
from tests.brokers.apache import ApacheKafka
from tests.brokers.jars import jmx_exporter
from tests.recording import load, metrics, trouble
from tests.recording.faults import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    from tests.recording.load import Shared

SCRAPE_TIMEOUT = 0.75
BROKER_PROPERTIES = {
    "num.network.threads": "2",
    "num.io.threads": "4",
    "offsets.topic.num.partitions": "1",
    "log.flush.interval.messages": "300",
    # Small logs, looked through often: deletion of segments is in its steady state before the first row.
    "log.retention.bytes": "8000000",
    "log.segment.bytes": "2000000",
    "log.retention.check.interval.ms": "5000",
    "log.segment.delete.delay.ms": "2000",
    "log.initial.task.delay.ms": "5000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    # Averages that Kafka itself forms over windows look back 2 s instead of a minute.
    "metrics.num.samples": "2",
    "metrics.sample.window.ms": "1000",
}
# A fixed heap; the first compiler only, so that the JVM's own warming up is over before the first row.
JVM_HEAP = ("-Xms320m", "-Xmx320m", "-Xmn48m", "-XX:+UseG1GC", "-XX:+AlwaysPreTouch")
JVM_OPTIONS = (*JVM_HEAP, "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class Scene:
    """What runs: the stage for the faults, what to measure, and the counters of the clients by topic."""

    stage: Stage
    host: metrics.Host
    exporter_port: int
    produced: dict[str, Shared]
    consumed: dict[str, Shared]


@contextlib.contextmanager
def running(cpu: int, log_file: Path) -> Iterator[Scene]:
    """Bring everything up on processor `cpu`; the broker prints to `log_file`. Raises TransportError."""
    os.sched_setaffinity(0, {cpu})  # children inherit it
    exporter_port, proxy_port = free_port(), free_port()
    config = log_file.with_suffix(".exporter.yaml")
    config.write_text(metrics.EXPORTER_CONFIG)
    agent = f"-javaagent:{jmx_exporter()}=127.0.0.1:{exporter_port}:{config}"
    broker = ApacheKafka(
        properties=BROKER_PROPERTIES,
        jvm_options=(*JVM_OPTIONS, agent),
        listeners={"PROXIED": proxy_port},
        log_file=log_file,
    )
    with broker, _processes() as processes:
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
            admin.create_topics([NewTopic(stream.topic, stream.partitions, 1) for stream in load.STREAMS])
        proxy, visitor = load.shared(), load.shared()
        processes.append(load.start(trouble.proxy, proxy_port, broker.ports["PROXIED"], proxy))
        processes.append(load.start(load.visit, broker.ports["PLAINTEXT"], visitor, 7))
        producers, consumers, produced, consumed = _shares(), _shares(), _shares(), _shares()
        pids: tuple[dict[str, int], dict[str, int]] = ({}, {})
        for seed, stream in enumerate(load.STREAMS):
            topic = stream.topic
            bootstrap = f"127.0.0.1:{proxy_port}" if stream.proxied else broker.bootstrap
            producers[topic][load.SIZE] = 1.0
            producers[topic][load.OVERSIZED_BYTES] = load.REJECTED_BYTES
            producers[topic][load.OVERSIZED] = load.REJECTED_RATE
            sender = load.start(load.produce, bootstrap, stream, producers[topic], produced[topic], seed)
            reader = load.start(load.consume, bootstrap, stream, consumers[topic], consumed[topic])
            processes.extend((sender, reader))
            pids[0][topic], pids[1][topic] = sender.pid or 0, reader.pid or 0
        stage = Stage(broker, producers, consumers, proxy, visitor, pids[1])
        host = metrics.Host(broker.pid, list(pids[0].values()), list(pids[1].values()), cpu)
        try:
            yield Scene(stage, host, exporter_port, produced, consumed)
        finally:
            stage.end_children()


def _shares() -> dict[str, Shared]:
    return {stream.topic: load.shared() for stream in load.STREAMS}


@contextlib.contextmanager
def _processes() -> Iterator[list[SpawnProcess]]:
    processes: list[SpawnProcess] = []
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


class Drive:
    """Sets the load once a second as the compressed day wants it, with slow random factors."""

    def __init__(self) -> None:
        """Seeded: the orders given are the same in every recording."""
        self._jitter = {stream.topic: load.Jitter(0.10, seed) for seed, stream in enumerate(load.STREAMS)}
        self._visits = load.Jitter(0.3, seed=99)

    def step(self, stage: Stage, second: float) -> None:
        """Give the orders for the second that begins."""
        for number, stream in enumerate(load.STREAMS):
            factor = load.day_curve(second, lag=35.0 * number) * self._jitter[stream.topic].step()
            stage.producers[stream.topic][load.RATE] = stream.rate * factor * stage.factor[stream.topic]
        more, hold = stage.visits
        base = 3.0 * load.day_curve(second) ** 0.5 * self._visits.step()
        stage.visitor[load.HOLD] = (base + more * hold) / (base + more)
        stage.visitor[load.RATE] = base + more


class Sampler:
    """One row a second: the scrape, the host, the clients; what cannot be read repeats its last value."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._rates = metrics.Rates()
        self._ends: dict[str, float] = {}
        self._row: dict[str, float] = {}
        self.misses = 0

    def row(self) -> dict[str, float]:
        """Return the metrics of the second that ends now."""
        scene, fresh = self._scene, dict(self._row)
        # Positions before end offsets, so that a lag is never negative.
        positions = {topic: counters[load.POSITION] for topic, counters in scene.consumed.items()}
        try:
            samples = metrics.scrape(scene.exporter_port, SCRAPE_TIMEOUT)
            fresh |= metrics.broker_row(samples, self._rates, time.monotonic())
            self._ends = metrics.end_offsets(samples)
        except (OSError, KeyError, ValueError) as error:
            self.misses += 1
            print(f"{time.strftime('%H:%M:%S')} scrape: {error!r}", file=sys.stderr, flush=True)
        try:
            now = time.monotonic()
            fresh |= scene.host.row(self._rates, now)
            lags = {topic: max(0.0, self._ends.get(topic, 0.0) - at) for topic, at in positions.items()}
            fresh |= metrics.client_row(scene.produced, scene.consumed, lags, self._rates, now)
        except Exception as error:  # noqa: BLE001 - one failed reading must not end a recording of hours
            print(f"{time.strftime('%H:%M:%S')} reading: {error!r}", file=sys.stderr, flush=True)
        frozen = scene.stage.frozen
        self._row = {
            name: self._row.get(name, value) if frozen and name.startswith(frozen) else value
            for name, value in fresh.items()
        }
        return dict(self._row)
