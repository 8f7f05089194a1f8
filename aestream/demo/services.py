"""The bundled recording as the records of three services, which share a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from aestream.demo.dataset import Recording

# Each has a topic on the broker, with a producer and a consumer of its own: docs/recording.md.
SERVICES = ("orders", "clicks", "payments")


def as_services(recording: Recording) -> Mapping[str, Recording]:
    """A recording of each service: the metrics of its own clients, and all those of the broker and the host.

    `latency_ms_clicks` becomes `latency_ms` of `clicks`. A service has the incidents that show in one of its metrics,
    and only their rows are labelled: while the link of one service is slow, the records of the others are normal.
    """
    own = {service: [name for name in recording.names if name.endswith(f"_{service}")] for service in SERVICES}
    common = [name for name in recording.names if not any(name in names for names in own.values())]
    return {service: _of(recording, service, [*names, *common]) for service, names in own.items()}


def _of(recording: Recording, service: str, chosen: list[str]) -> Recording:
    columns = [recording.names.index(name) for name in chosen]
    called = {name: name.removesuffix(f"_{service}") for name in chosen}
    incidents = []
    label = np.zeros(len(recording.label), bool)
    for incident in recording.incidents:
        causes = tuple(called[name] for name in incident.causes if name in called)
        if causes:
            incidents.append(replace(incident, causes=causes))
            label[incident.rows] = recording.label[incident.rows]
    return replace(
        recording,
        names=tuple(called.values()),
        train=recording.train[:, columns],
        test=recording.test[:, columns],
        label=label,
        incidents=tuple(incidents),
    )
