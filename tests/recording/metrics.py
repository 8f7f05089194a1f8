"""The metrics: what the exporter, the operating system and the clients are asked; rates out of counters."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING

import psutil

from tests.recording import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.recording.load import Shared

EXPORTER_CONFIG = r"""
lowercaseOutputName: true
includeObjectNames:
  - kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec
  - kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec
  - kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec
  - kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec
  - kafka.network:type=RequestMetrics,name=TotalTimeMs,request=Produce
  - kafka.network:type=RequestMetrics,name=RequestQueueTimeMs,request=Produce
  - kafka.network:type=RequestMetrics,name=LocalTimeMs,request=Produce
  - kafka.network:type=RequestMetrics,name=ResponseSendTimeMs,request=Produce
  - kafka.network:type=RequestMetrics,name=TotalTimeMs,request=FetchConsumer
  - kafka.network:type=RequestMetrics,name=RequestQueueTimeMs,request=FetchConsumer
  - kafka.network:type=RequestMetrics,name=LocalTimeMs,request=FetchConsumer
  - kafka.network:type=RequestMetrics,name=ResponseSendTimeMs,request=FetchConsumer
  - kafka.network:type=RequestChannel,name=RequestQueueSize
  - kafka.network:type=SocketServer,name=NetworkProcessorAvgIdlePercent
  - kafka.server:type=KafkaRequestHandlerPool,name=RequestHandlerAvgIdlePercent
  - kafka.server:type=DelayedOperationPurgatory,name=PurgatorySize,delayedOperation=*
  - kafka.server:type=socket-server-metrics,listener=PLAINTEXT,networkProcessor=*
  - kafka.server:type=socket-server-metrics,listener=PROXIED,networkProcessor=*
  - kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs
  - kafka.log:type=Log,name=LogEndOffset,topic=*,partition=*
  - kafka.log:type=Log,name=Size,topic=*,partition=*
rules:
  - pattern: 'kafka.server<type=BrokerTopicMetrics, name=(\w+)><>Count:'
    name: topic_$1
  - pattern: 'kafka.network<type=RequestMetrics, name=(\w+), request=(\w+)><>(Count|Mean):'
    name: request_$1_$2_$3
  - pattern: 'kafka.network<type=RequestChannel, name=RequestQueueSize><>Value'
    name: request_queue_size
  - pattern: 'kafka.network<type=SocketServer, name=NetworkProcessorAvgIdlePercent><>Value'
    name: network_idle
  - pattern: 'kafka.server<type=KafkaRequestHandlerPool, name=RequestHandlerAvgIdlePercent><>Count:'
    name: handler_idle_count
  - pattern: 'kafka.server<type=DelayedOperationPurgatory, name=PurgatorySize, delayedOperation=(Fetch|Produce)><>Value'
    name: purgatory_$1
  - pattern: 'kafka.server<type=socket-server-metrics, listener=(\w+), networkProcessor=(\d+)><>(connection-count|connection-creation-total):'
    name: socket_$3
    labels: {listener: "$1", processor: "$2"}
  - pattern: 'kafka.log<type=LogFlushStats, name=LogFlushRateAndTimeMs><>(Count|Mean):'
    name: flush_$1
  - pattern: 'kafka.log<type=Log, name=(LogEndOffset|Size), topic=(orders|clicks|payments), partition=(\d+)><>Value'
    name: log_$1_$2
    labels: {partition: "$3"}
"""  # noqa: E501 - a pattern cannot be broken
MEGABYTE = 1e6

_SAMPLE = re.compile(r"^([a-zA-Z_:]+)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_KEPT_LABELS = re.compile(r'(?:pool|area|gc)="([^"]*)"')
_REQUESTS = (("produce", "produce"), ("fetch", "fetchconsumer"))
_TIMES = (
    ("total", "totaltimems"),
    ("queue", "requestqueuetimems"),
    ("local", "localtimems"),
    ("send", "responsesendtimems"),
)


def scrape(port: int, timeout: float) -> dict[str, float]:
    """Return the exporter's samples, name -> sum over the labels; raises OSError or ValueError.

    The labels of JVM metrics (pool, area, gc) stay part of the name, after a bar.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout) as answer:
        return parse(answer.read().decode())


def parse(text: str) -> dict[str, float]:
    """Read the Prometheus text format as `scrape` tells."""
    samples: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        key = "|".join([name, *_KEPT_LABELS.findall(labels)])
        samples[key] = samples.get(key, 0.0) + float(value)
    return samples


class Rates:
    """Rates and means a second out of counters that only grow; what cannot be had repeats the last value."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}
        self._last: dict[str, float] = {}

    def rate(self, name: str, count: float, now: float) -> float:
        """Return how much the counter `count` grew a second since the last call for `name`; `now` in seconds."""
        return max(0.0, self.growth(name, count, now))

    def growth(self, name: str, value: float, now: float) -> float:
        """Return the change of `value` a second since the last call for `name`, below 0 when it shrank."""
        before, then = self._before.get(name, (value, now))
        self._before[name] = (value, now)
        if now > then:
            self._last[name] = (value - before) / (now - then)
        return self._last.get(name, 0.0)

    def mean(self, name: str, count: float, total: float) -> float:
        """Return the mean of what came since the last call: growth of `total` / growth of `count`."""
        before, before_total = self._before.get(name, (count, total))
        self._before[name] = (count, total)
        if count > before:
            self._last[name] = max(0.0, total - before_total) / (count - before)
        return self._last.get(name, 0.0)


def _sum(samples: Mapping[str, float], beginning: str) -> float:
    return sum(value for name, value in samples.items() if name.startswith(beginning))


def broker_row(samples: Mapping[str, float], rates: Rates, now: float) -> dict[str, float]:
    """Return the broker's own metrics from a scrape at `now` (s). Raises KeyError while one is missing.

    Kafka's histograms decay over minutes, but count x mean is an exact running total: the mean of a second is
    had from its growth, and a fault's effect ends with the fault.
    """
    rate, mean = rates.rate, rates.mean
    failed = samples.get("topic_failedproducerequestspersec", 0.0)
    row = {
        "broker_messages_in_per_second": rate("messages", samples["topic_messagesinpersec"], now),
        "broker_bytes_in_per_second": rate("bytes_in", samples["topic_bytesinpersec"], now),
        "broker_bytes_out_per_second": rate("bytes_out", samples["topic_bytesoutpersec"], now),
        "broker_failed_produce_requests_per_second": rate("failed", failed, now),
    }
    for short, request in _REQUESTS:
        requests = samples[f"request_totaltimems_{request}_count"]
        row[f"broker_{short}_requests_per_second"] = rate(short, requests, now)
        for part, time_name in _TIMES:
            count = samples[f"request_{time_name}_{request}_count"]
            total = count * samples[f"request_{time_name}_{request}_mean"]
            row[f"broker_{short}_{part}_time_ms"] = mean(f"{short}_{part}", count, total)
    flushes = samples["flush_count"]
    gc_count, gc_seconds = (_sum(samples, f"jvm_gc_collection_seconds_{part}") for part in ("count", "sum"))
    log_bytes = sum(samples[f"log_size_{stream.topic}"] for stream in load.STREAMS)
    row |= {
        "broker_request_queue_size": samples["request_queue_size"],
        "broker_handler_idle_ratio": min(1.0, rate("handler_idle", samples["handler_idle_count"], now) / 1e9),
        "broker_network_idle_ratio": samples["network_idle"],
        "broker_purgatory_fetch_size": samples["purgatory_fetch"],
        "broker_purgatory_produce_size": samples["purgatory_produce"],
        "broker_log_flushes_per_second": rate("flushes", flushes, now),
        "broker_log_flush_time_ms": mean("flush_time", flushes, flushes * samples["flush_mean"]),
        "broker_log_size_megabytes": log_bytes / MEGABYTE,
        "broker_connections": samples["socket_connection_count"],
        "broker_connections_opened_per_second": rate("opened", samples["socket_connection_creation"], now),
        "jvm_heap_used_megabytes": samples["jvm_memory_used_bytes|heap"] / MEGABYTE,
        "jvm_old_generation_megabytes": samples["jvm_memory_pool_used_bytes|G1 Old Gen"] / MEGABYTE,
        "jvm_heap_after_gc_megabytes": _sum(samples, "jvm_memory_pool_collection_used_bytes") / MEGABYTE,
        "jvm_gc_per_second": rate("gc", gc_count, now),
        "jvm_gc_milliseconds_per_second": 1000.0 * rate("gc_time", gc_seconds, now),
        "jvm_threads": samples["jvm_threads_current"],
    }
    return row


def end_offsets(samples: Mapping[str, float]) -> dict[str, float]:
    """Return each topic's end offset, summed over its partitions."""
    return {stream.topic: samples[f"log_logendoffset_{stream.topic}"] for stream in load.STREAMS}


class Host:
    """The broker's process, the clients' memory, and the one processor that all of the recording runs on."""

    def __init__(self, broker: int, producers: Sequence[int], consumers: Sequence[int], cpu: int) -> None:
        """Look at these process ids and at processor number `cpu`."""
        self._broker = psutil.Process(broker)
        self._producers = [psutil.Process(pid) for pid in producers]
        self._consumers = [psutil.Process(pid) for pid in consumers]
        self._cpu = cpu
        psutil.cpu_times_percent(percpu=True)

    def row(self, rates: Rates, now: float) -> dict[str, float]:
        """Return the operating system's side of the time since the last call."""
        cpu = psutil.cpu_times_percent(percpu=True)[self._cpu]
        disk, loopback = psutil.disk_io_counters(), psutil.net_io_counters(pernic=True)["lo"]
        broker, consumers = self._broker, _resident(self._consumers)
        with broker.oneshot():
            used, io = broker.cpu_times(), broker.io_counters()
            row = {
                "process_cpu_user_percent": 100.0 * rates.rate("cpu_user", used.user, now),
                "process_cpu_system_percent": 100.0 * rates.rate("cpu_system", used.system, now),
                "process_resident_megabytes": broker.memory_info().rss / MEGABYTE,
                "process_open_files": float(broker.num_fds()),
                "process_disk_read_bytes_per_second": rates.rate("read", io.read_bytes, now),
                "process_disk_write_bytes_per_second": rates.rate("write", io.write_bytes, now),
                "process_write_calls_per_second": rates.rate("writes", io.write_count, now),
            }
        return row | {
            "host_cpu_user_percent": cpu.user,
            "host_cpu_system_percent": cpu.system,
            "host_cpu_iowait_percent": cpu.iowait,
            "host_cpu_steal_percent": cpu.steal,
            "host_cpu_idle_percent": cpu.idle,
            "host_disk_write_bytes_per_second": rates.rate("disk", disk.write_bytes if disk else 0.0, now),
            "host_loopback_bytes_per_second": rates.rate("loopback", loopback.bytes_sent, now),
            "client_producer_resident_megabytes": _resident(self._producers),
            "client_consumer_resident_megabytes": consumers,
            "client_consumer_memory_growth_megabytes_per_second": rates.growth("memory", consumers, now),
        }


def _resident(processes: Sequence[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / MEGABYTE


def client_row(
    produced: Mapping[str, Shared],
    consumed: Mapping[str, Shared],
    lags: Mapping[str, float],
    rates: Rates,
    now: float,
) -> dict[str, float]:
    """Return what the clients saw, from their counters; `lags` in records."""
    row = {}
    for topic, sent in produced.items():
        read = consumed[topic]
        row[f"producer_records_per_second_{topic}"] = rates.rate(f"sent_{topic}", sent[load.RECORDS], now)
        row[f"consumer_records_per_second_{topic}"] = rates.rate(f"read_{topic}", read[load.RECORDS], now)
        latency = rates.mean(f"latency_{topic}", sent[load.DELAY_COUNT], sent[load.DELAY_SUM])
        delay = rates.mean(f"delay_{topic}", read[load.DELAY_COUNT], read[load.DELAY_SUM])
        row[f"producer_latency_ms_{topic}"], row[f"consumer_delay_ms_{topic}"] = latency, delay
        row[f"consumer_lag_records_{topic}"] = lags[topic]
    errors = sum(counters[load.ERRORS] for counters in produced.values())
    row["producer_errors_per_second"] = rates.rate("errors", errors, now)
    return row
