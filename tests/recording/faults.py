"""The faults: each with its size, its length, what starts and ends it, and the metrics that it shows in."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from tests.brokers.apache import pause, resume
from tests.recording import load, trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

    from aestream.demo.brokers import Broker
    from tests.recording.load import Shared


def _no_factors() -> dict[str, float]:
    return {stream.topic: 1.0 for stream in load.STREAMS}


@dataclass
class Stage:
    """All that a fault can reach: the broker, every client, the load's factors, the frozen metrics."""

    broker: Broker
    producers: dict[str, Shared]  # topic -> knobs
    consumers: dict[str, Shared]
    proxy: Shared
    visitor: Shared
    consumer_pids: dict[str, int]
    factor: dict[str, float] = field(default_factory=_no_factors)
    visits: tuple[float, float] = (0.0, 0.0)  # further connections per second and how long each stays (s)
    frozen: tuple[str, ...] = ()  # beginnings of the names of metrics that repeat their last value
    children: list[SpawnProcess] = field(default_factory=list)

    def spawn(self, target: Callable[..., None], *arguments: object) -> None:
        """Start a process that lasts as long as the fault."""
        self.children.append(load.start(target, *arguments))

    def end_children(self) -> None:
        """End the fault's processes."""
        for child in self.children:
            child.kill()
            child.join()
        self.children.clear()


_TRAFFIC = ("broker_messages_in", "broker_bytes_in", "broker_bytes_out")


def _of_consumer(topic: str) -> tuple[str, ...]:
    """Return the metrics of one topic's consumer."""
    return tuple(f"consumer_{metric}_{topic}" for metric in ("lag_records", "records_per_second", "delay_ms"))


def _nothing(_stage: Stage) -> None:
    pass


def _no_tick(_stage: Stage, _second: int) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """A fault. `shows`: beginnings of metric names; `tick` gets the seconds since the start, every second."""

    name: str
    kind: str
    size: str
    seconds: int
    shows: tuple[str, ...]
    start: Callable[[Stage], None] = _nothing
    stop: Callable[[Stage], None] = _nothing
    tick: Callable[[Stage, int], None] = _no_tick


def _processor(name: str, size: str, seconds: int, *shares: float) -> Fault:
    def start(stage: Stage) -> None:
        for share in shares:
            stage.spawn(trouble.burn, share)

    shows = ("host_cpu_", "producer_latency_ms", "consumer_delay_ms", "broker_produce_", "broker_fetch_")
    return Fault(name, "processor contention", size, seconds, shows, start, Stage.end_children)


def _disk(name: str, size: str, seconds: int, writers: int, block: int, pause: float) -> Fault:
    def start(stage: Stage) -> None:
        for _ in range(writers):
            stage.spawn(trouble.thrash, str(stage.broker.folder), block, pause)

    host = ("host_cpu_iowait", "host_cpu_idle", "host_cpu_system")
    shows = (
        *host,
        "broker_log_flush_time_ms",
        "broker_produce_local",
        "broker_produce_total",
        "producer_latency_ms",
    )
    return Fault(name, "disk contention", size, seconds, shows, start, Stage.end_children)


def _leak(name: str, size: str, seconds: int, topic: str, mebibytes: float) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        stage.consumers[topic][load.LEAK] = to

    shows = ("client_consumer_memory_growth", "host_cpu_system")
    return Fault(name, "memory leak", size, seconds, shows, lambda s: turn(s, mebibytes), lambda s: turn(s, 0.0))


def _pauses(name: str, size: str, seconds: int, every: int, length: int) -> Fault:
    def tick(stage: Stage, second: int) -> None:
        if second % every == 1:
            pause(stage.broker)
        elif second % every == 1 + length:
            resume(stage.broker)

    shows = (
        "producer_",
        "consumer_",
        "broker_produce_",
        "broker_messages_in",
        "process_cpu",
        "host_cpu_idle",
    )
    return Fault(name, "paused broker", size, seconds, shows, stop=lambda s: resume(s.broker), tick=tick)


def _flood(name: str, size: str, seconds: int, factor: float, *topics: str) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        for topic in topics:
            stage.factor[topic] = to

    of_topics = [f"{side}_records_per_second_{topic}" for topic in topics for side in ("producer", "consumer")]
    processor = ("process_cpu_user", "host_cpu_user", "host_cpu_idle")
    shows = (*_TRAFFIC, "broker_log_flushes", *processor, *of_topics)
    return Fault(name, "flood", size, seconds, shows, lambda s: turn(s, factor), lambda s: turn(s, 1.0))


def _stuck(name: str, size: str, seconds: int, topic: str) -> Fault:
    def send(stage: Stage, number: signal.Signals) -> None:
        os.kill(stage.consumer_pids[topic], number)

    shows = (*_of_consumer(topic), "broker_bytes_out", "broker_purgatory_fetch")
    start, stop = (lambda s: send(s, signal.SIGSTOP)), (lambda s: send(s, signal.SIGCONT))
    return Fault(name, "stuck consumer", size, seconds, shows, start, stop)


def _slow_consumer(name: str, size: str, seconds: int, topic: str, milliseconds: float) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        stage.consumers[topic][load.SLOW] = to

    shows = (*_of_consumer(topic), "broker_fetch_requests")
    start, stop = (lambda s: turn(s, milliseconds)), (lambda s: turn(s, 0.0))
    return Fault(name, "slow consumer", size, seconds, shows, start, stop)


def _replay(name: str, size: str, seconds: int, topic: str, records: float) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        stage.consumers[topic][load.REWIND] = to

    shows = (*_of_consumer(topic), "broker_bytes_out")
    return Fault(name, "replay", size, seconds, shows, lambda s: turn(s, records), lambda s: turn(s, 0.0))


def _slow_link(name: str, size: str, seconds: int, milliseconds: float) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        stage.proxy[trouble.LATENCY] = to

    shows = ("producer_latency_ms_clicks", "consumer_delay_ms_clicks", "consumer_lag_records_clicks")
    start, stop = (lambda s: turn(s, milliseconds)), (lambda s: turn(s, 0.0))
    return Fault(name, "slow connections", size, seconds, shows, start, stop)


def _cuts(name: str, size: str, seconds: int, every: float) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        stage.proxy[trouble.CUT] = to

    shows = ("producer_latency_ms_clicks", "consumer_delay_ms_clicks", "consumer_lag_records_clicks")
    start, stop = (lambda s: turn(s, every)), (lambda s: turn(s, 0.0))
    return Fault(name, "cut connections", size, seconds, (*shows, "broker_connections"), start, stop)


def _storm(name: str, size: str, seconds: int, rate: float, hold: float) -> Fault:
    def turn(stage: Stage, visits: tuple[float, float]) -> None:
        stage.visits = visits

    shows = (
        "broker_connections",
        "process_open_files",
        "process_cpu",
        "host_cpu_idle",
        "broker_network_idle",
    )
    start, stop = (lambda s: turn(s, (rate, hold))), (lambda s: turn(s, (0.0, 0.0)))
    return Fault(name, "connection storm", size, seconds, shows, start, stop)


def _oversized(name: str, size: str, seconds: int, length: int, shows: tuple[str, ...]) -> Fault:
    def turn(stage: Stage, rate: float, size: int) -> None:
        knobs = stage.producers["payments"]
        knobs[load.OVERSIZED_BYTES], knobs[load.OVERSIZED] = size, rate

    start, stop = (lambda s: turn(s, 1.0, length)), (lambda s: turn(s, load.REJECTED_RATE, load.REJECTED_BYTES))
    return Fault(name, "oversized messages", size, seconds, shows, start, stop)


def _truncated(name: str, size: str, seconds: int, topic: str, factor: float) -> Fault:
    def turn(stage: Stage, to: float) -> None:
        stage.producers[topic][load.SIZE] = to

    shows = ("broker_bytes_in", "broker_bytes_out", "broker_messages_in")
    return Fault(name, "truncated messages", size, seconds, shows, lambda s: turn(s, factor), lambda s: turn(s, 1.0))


def _frozen(name: str, size: str, seconds: int, *beginnings: str) -> Fault:
    def turn(stage: Stage, frozen: tuple[str, ...]) -> None:
        stage.frozen = frozen

    start, stop = (lambda s: turn(s, beginnings)), (lambda s: turn(s, ()))
    return Fault(name, "frozen sensor", size, seconds, beginnings, start, stop)


def _flush_setting(seconds: int, messages: int) -> Fault:
    def start(stage: Stage) -> None:
        change = {"flush.messages": str(messages)}
        topics = [ConfigResource(ConfigResourceType.TOPIC, stream.topic, change) for stream in load.STREAMS]
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=stage.broker.bootstrap)) as admin:
            admin.alter_configs(topics)

    times = ("broker_produce_local_time_ms", "broker_produce_total_time_ms", "producer_latency_ms")
    shows = ("broker_log_flush", "process_disk_write_bytes", *times)
    return Fault("flush setting changed for good", "config change", "shift", seconds, shows, start)


_REJECTED = ("producer_errors", "broker_failed_produce", "broker_produce_", "producer_latency_ms_payments")
_DELAYS = ("producer_latency_ms_payments", "consumer_delay_ms_payments")
_BIG = ("broker_bytes_in", "broker_bytes_out", "broker_produce_local", "broker_fetch_send", *_DELAYS)

# In an order that meets the day where they show: frozen sensors while the load changes, a flood at the peak.
FAULTS: tuple[Fault, ...] = (
    _processor("neighbour takes most of the processor", "medium", 28, 0.8),
    _slow_link("slow link, small", "small", 28, 25.0),
    _stuck("analytics consumer stuck", "large", 20, "clicks"),
    _leak("ledger consumer leaks", "medium", 32, "payments", 2.0),
    _disk("disk busy with forced writes", "large", 24, 2, 1_000_000, 0.0),
    _storm("connections come and go", "small", 26, 18.0, 0.05),
    _frozen("traffic sensors frozen", "medium", 44, *_TRAFFIC),
    _replay("ledger consumer reads again", "small", 28, "payments", 60.0),
    _flood("orders flood at the peak", "large", 26, 2.6, "orders"),
    _truncated("orders cut to an eighth", "medium", 28, "orders", 0.12),
    _cuts("connections cut three times a second", "large", 26, 0.3),
    _processor("neighbours take the processor", "large", 24, 1.0, 1.0, 1.0),
    _frozen("exporter frozen in the morning", "large", 50, "broker_", "jvm_"),
    _oversized("messages above the limit", "large", 26, 1_300_000, _REJECTED),
    _disk("disk shared with forced writes", "medium", 28, 1, 262_144, 0.0),
    _leak("fulfilment consumer leaks fast", "large", 24, "orders", 6.0),
    _pauses("broker pauses again and again", "small", 26, 8, 2),
    _oversized("messages near the limit", "small", 26, 500_000, _BIG),
    _slow_consumer("fulfilment consumer slow", "small", 28, "orders", 350.0),
    _pauses("broker pauses long", "large", 22, 12, 8),
    _slow_link("slow link, large", "large", 24, 200.0),
    _storm("connection storm", "large", 22, 150.0, 0.3),
    _flush_setting(60, 60),
)
