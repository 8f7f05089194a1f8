"""What a worker takes, from its own metrics: records a second, CPU time a record, memory, the time until it scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aestream.errors import TransportError

_FIRST_SECONDS = 90.0  # for the start of the worker, until its first scores
_SECONDS = 120.0  # for the rest
_LOOK_SECONDS, _LOOK_AGAIN_SECONDS = 0.05, 0.25


@dataclass(frozen=True, slots=True)
class Reading:
    """What a worker's metrics said at a time: records done by `stamp`, CPU seconds and bytes by now. Times in s."""

    at: float
    done: int
    stamp: float
    cpu: float
    memory: float

    @classmethod
    def of(cls, metrics: Mapping[str, float], at: float) -> Reading:
        """Read the samples of /metrics; those that are missing are 0."""
        return cls(
            at,
            int(metrics.get("aestream_records_consumed_total", 0)),
            metrics.get("aestream_last_record_processed_timestamp_seconds", 0.0),
            metrics.get("process_cpu_seconds_total", 0.0),
            metrics.get("process_resident_memory_bytes", 0.0),
        )


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was measured: over `records` records in `seconds`, after the first batch of the worker.

    `cpu` are seconds of CPU time for these records, `memory` the most bytes that were resident, and `start` the seconds
    from the start of the process to its first scores.
    """

    records: int
    seconds: float
    cpu: float
    memory: float
    start: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_per_record(self) -> float:
        """Seconds of CPU time."""
        return self.cpu / self.records


def watch(
    total: int,
    look: Callable[[], Reading],
    progress: Callable[[int], None],
    sleep: Callable[[float], None],
    *,
    began: float,
) -> Throughput:
    """Watch a worker that began at `began` until it has done `total` records, or has had time enough.

    Raises TransportError when it has not done enough by then to tell.
    """
    first: Reading | None = None
    memory = 0.0
    while True:
        now = look()
        memory = max(memory, now.memory)
        progress(now.done)
        if first is None and now.done and now.stamp:
            first = now
        late = now.at - began > _FIRST_SECONDS if first is None else now.at - first.at > _SECONDS
        if now.done >= total or late:
            break
        sleep(_LOOK_SECONDS if first is None else _LOOK_AGAIN_SECONDS)
    if first is None:
        raise TransportError(
            f"the worker has scored nothing in {_FIRST_SECONDS:.0f} s: `aestream validate` may say why"
        )
    return measured(first, now, memory=memory, began=began)


def measured(first: Reading, last: Reading, *, memory: float, began: float) -> Throughput:
    """What lies between two readings. Raises TransportError when nothing does.

    Records are counted by batch, and a reading comes some time after a batch: the CPU time that the next batch has had
    by then is added in proportion.
    """
    seconds, records = last.stamp - first.stamp, last.done - first.done
    if records <= 0 or seconds <= 0 or last.at <= first.at:
        raise TransportError(
            "the worker was done before it could be measured: ask for more records with --records, at least four times "
            f"as many ({4 * last.done:,})"
        )
    busy = max(last.stamp - first.at, 0.0)
    cpu = last.cpu - first.cpu
    cpu *= seconds / busy if busy > seconds / 2 else 1.0
    return Throughput(records, seconds, cpu, memory, first.stamp - began)
