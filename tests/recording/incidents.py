"""When each fault starts and ends, and the rows it labels: from its start until the measured recovery."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.recording.faults import Fault, Stage

_OF_CLIENTS = ("producer_latency_ms", "consumer_delay_ms", "consumer_lag_records", "producer_errors")
WATCHED = (*_OF_CLIENTS, "client_consumer_memory_growth", "host_cpu_system_percent")
WATCHED_QUANTILE = 0.99
RECOVERY_LIMIT = 25
CALM_ROWS = 3


@dataclass
class Incident:
    """A fault as it happened: rows `start` to `end` of the test part, both included; metrics it shows in.

    `injected_until` is the last row with the fault itself; what follows up to `end` is recovery.
    """

    name: str
    kind: str
    size: str
    start: int
    injected_until: int
    end: int
    shows: list[str] = field(default_factory=list)

    def asdict(self) -> dict[str, object]:
        """Return the incident for JSON."""
        return asdict(self)


def schedule(seconds: int, faults: Sequence[Fault]) -> list[tuple[int, int, Fault]]:
    """Return (start, length, fault) in rows of a test part of `seconds` rows; the last stays to the end."""
    lead = min(40, seconds // 20)
    slot = (seconds - lead) // len(faults)
    plan = []
    for number, fault in enumerate(faults):
        begin = lead + number * slot
        last = number == len(faults) - 1
        length = seconds - begin if last else min(fault.seconds, max(4, int(0.55 * slot)))
        plan.append((begin, length, fault))
    return plan


class Limits:
    """What the watched metrics keep to while nothing is wrong: their 99 % quantile over the rows shown."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}

    def learn(self, row: Mapping[str, float]) -> None:
        """Remember a row without faults."""
        for name, value in row.items():
            if name.startswith(WATCHED):
                self._seen.setdefault(name, []).append(value)

    def calm(self, row: Mapping[str, float]) -> bool:
        """Tell whether every watched metric of `row` is within its limit."""
        return all(row[name] <= self._limit(values) for name, values in self._seen.items())

    @staticmethod
    def _limit(values: list[float]) -> float:
        return sorted(values)[min(len(values) - 1, int(WATCHED_QUANTILE * len(values)))]


class Injector:
    """Starts and ends the planned faults, one at a time, and labels the rows."""

    def __init__(self, plan: Sequence[tuple[int, int, Fault]], stage: Stage, limits: Limits) -> None:
        """`plan` as of `schedule`."""
        self._plan = list(plan)
        self._stage, self._limits = stage, limits
        self._active: tuple[int, int, Fault] | None = None  # row of the start, length, fault
        self._recovering = self._quiet = 0
        self.incidents: list[Incident] = []

    def before(self, row: int) -> None:
        """Do what is due before row `row` of the test part is measured."""
        if self._active is None and not self._recovering and self._plan and row >= self._plan[0][0]:
            _, length, fault = self._plan.pop(0)
            self._active = (row, length, fault)
            self.incidents.append(Incident(fault.name, fault.kind, fault.size, row, row, row))
            attempt(fault.name, lambda: fault.start(self._stage))
        if self._active is not None:
            started, _, fault = self._active
            attempt(fault.name, lambda: fault.tick(self._stage, row - started))

    def after(self, row: int, values: Mapping[str, float]) -> int:
        """Take the measured row, end what is due, and return its label."""
        if self._active is None and not self._recovering:
            return 0
        incident = self.incidents[-1]
        incident.end = row
        if self._recovering:
            self._quiet = self._quiet + 1 if self._limits.calm(values) else 0
            over = self._quiet >= CALM_ROWS or self._recovering >= RECOVERY_LIMIT
            self._recovering = 0 if over else self._recovering + 1
        if self._active is not None:
            started, length, fault = self._active
            incident.injected_until = row
            incident.shows = [name for name in values if name.startswith(fault.shows)]
            if row - started + 1 >= length:
                attempt(fault.name, lambda: fault.stop(self._stage))
                self._active, self._recovering, self._quiet = None, 1, 0
        return 1


def attempt(what: str, action: Callable[[], None]) -> None:
    """Run a step; a failure is told, and the recording goes on."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - one failed step must not end a recording of hours
        print(f"{time.strftime('%H:%M:%S')} {what}: {error!r}", file=sys.stderr, flush=True)
