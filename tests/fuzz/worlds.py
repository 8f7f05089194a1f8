"""Models and pipelines to be fed with bad input: every layout, with windows and without."""

from __future__ import annotations

import datetime
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.detector.detector import Detector
from aestream.features.roles import NO_ROLES, Roles
from aestream.inference.infer import infer
from aestream.inference.selection import Selection
from aestream.messages.scores import Renderer
from aestream.pipeline import Pipeline
from aestream.sampling.sample import fit
from aestream.sampling.topic import TopicSampler
from aestream.transport.memory import MemoryBroker, MemoryHistory, Message

MAX_RECORD_BYTES = 2**20
START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
STEPS = 500
HOSTS = ("web-1", "web-2", "db-1")
QUIET = "quiet"  # the entity of the good neighbours: nothing else is ever said about it
Record = dict[str, Any]


def record(step: int, host: str, rng: random.Random) -> Record:
    """What a host reports every ten seconds: a value of every kind."""
    load = 0.5 + 0.3 * math.sin(step / 20 + len(host)) + 0.05 * rng.gauss(0, 1)
    return {
        "host": host,
        "at": (START + datetime.timedelta(seconds=10 * step)).isoformat(),
        "cpu": {"user": 100 * load + rng.gauss(0, 1), "busy": load > 0.5},
        "queue": 5 * load + rng.gauss(0, 0.2),
        "latency": f"{10 * load + rng.gauss(5, 0.1):.2f} ms",
        "mode": rng.choice(["read", "write"]),
        "rain": rng.gauss(0, 1) if rng.random() < 0.8 else None,
    }


def numbers(step: int, host: str, rng: random.Random) -> Record:
    """The same as numbers with flat names, as OpenTelemetry has them."""
    whole = record(step, host, rng)
    return {"host": host, "cpu": whole["cpu"]["user"], "queue": whole["queue"], "load": 0.01 * whole["cpu"]["user"]}


def otlp(one: Record, step: int) -> Record:
    """A record as OpenTelemetry's collector sends it."""
    nano = str(1_000_000 * _stamp(step))
    metrics = [
        {"name": name, "gauge": {"dataPoints": [{"timeUnixNano": nano, "asDouble": value}]}}
        for name, value in one.items()
        if name != "host"
    ]
    about = {"attributes": [{"key": "host", "value": {"stringValue": one["host"]}}]}
    return {"resourceMetrics": [{"resource": about, "scopeMetrics": [{"metrics": metrics}]}]}


@dataclass(frozen=True)
class World:
    """One layout and one model: how a record is written as a message, and the pipeline that reads it."""

    layout: Layout
    windows: bool
    wrap: Callable[[int, str, random.Random], Any]
    flat: bool = False

    @property
    def name(self) -> str:
        form = f"{self.layout.name} in arrays" if self.layout.unpack else self.layout.name
        return f"{form}, {'windows' if self.windows else 'no windows'}"

    def message(self, step: int, host: str, rng: random.Random) -> bytes:
        """A good message."""
        return json.dumps(self.wrap(step, host, rng)).encode()

    def pipeline(self) -> Pipeline:
        """A pipeline that has seen nothing yet."""
        detector, codec = self._detector(), JsonCodec(MAX_RECORD_BYTES, self.layout)
        renderer = Renderer(
            model="fuzz@1",
            threshold=detector.threshold,
            names=detector.schema.names,
            scores_topic="scores",
            anomalies_topic="anomalies",
        )
        return Pipeline(
            detector,
            detector.watch(7 * 86_400),
            codec.decoder(detector.schema, self.roles.names),
            renderer,
            dead_letters_topic="dead",
            top_features=3,
            roles=self.roles,
            reconstruction=not self.windows,
        )

    @property
    def roles(self) -> Roles:
        """Where the records of an entity belong together, the fields that say so."""
        return Roles(("host",), "time" if self.flat else "at") if self.windows else NO_ROLES

    def _detector(self) -> Detector:
        return trained(windows=self.windows, flat=self.flat)


@cache
def trained(*, windows: bool, flat: bool) -> Detector:
    """A detector of such records, learnt from a topic as the trainer does it, once a process."""
    rng, stored = random.Random(0), MemoryBroker({"in": 1})
    form = World(Layout("opentelemetry"), windows, _otlp, flat=True) if flat else World(Layout(), windows, record)
    for step in range(STEPS):
        for host in HOSTS:
            stored.append("in", Message(form.message(step, host, rng), timestamp=_stamp(step)), 0)
    chosen = Selection(
        exclude=["host", "time"],
        timestamps=[] if windows or flat else ["at"],
        missing=[] if flat else ["rain=impute"],
        units=[] if flat else ["latency"],
        key=form.roles.key,
        time=form.roles.time,
    )
    sampler = TopicSampler(
        MemoryHistory(stored, ["in"]),
        JsonCodec(MAX_RECORD_BYTES, form.layout),
        records=STEPS * len(HOSTS),
        period=None,
        choose=lambda found: infer(found, chosen),
        roles=form.roles,
    )
    sample = sampler.sample(progress=lambda _seen, _wanted: None)
    return fit(Detector(window="auto" if windows else 1, false_alarm_rate=0.01, steps=150), sample)


def _stamp(step: int) -> int:
    return int(1000 * (START + datetime.timedelta(seconds=10 * step)).timestamp())


def _otlp(step: int, host: str, rng: random.Random) -> Any:
    return otlp(numbers(step, host, rng), step)


def _debezium(step: int, host: str, rng: random.Random) -> Any:
    return {"op": "c", "before": None, "after": record(step, host, rng), "source": {"table": "hosts"}}


def _telegraf(step: int, host: str, rng: random.Random) -> Any:
    fields = record(step, host, rng)
    return {"name": "host", "tags": {"host": fields.pop("host")}, "timestamp": 1_793_491_200 + step, "fields": fields}


def _metricbeat(step: int, host: str, rng: random.Random) -> Any:
    about = {"@timestamp": "2026-11-01T00:00:00Z", "agent": {"type": "metricbeat"}, "ecs": {"version": "8.0.0"}}
    return {**about, **record(step, host, rng)}


def _array(step: int, host: str, rng: random.Random) -> Any:
    fields = [record(step, host, rng), record(step + 1, host, rng)]
    return {"site": "x", "items": [{**one, "site": "own"} for one in fields]}


_FORMS: Mapping[str, tuple[Layout, Callable[[int, str, random.Random], Any]]] = {
    "plain": (Layout(), record),
    "debezium": (Layout("debezium"), _debezium),
    "telegraf": (Layout("telegraf"), _telegraf),
    "metricbeat": (Layout("metricbeat"), _metricbeat),
    "array": (Layout(unpack="items"), _array),
}


def worlds() -> Iterator[World]:
    """All of them."""
    for windows in (False, True):
        for layout, wrap in _FORMS.values():
            yield World(layout, windows, wrap)
        yield World(Layout("opentelemetry"), windows, _otlp, flat=True)
