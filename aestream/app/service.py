"""What surrounds a running service: metrics, probes, the HTTP server."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

import aestream
from aestream.service.health import Health, HttpServer
from aestream.service.metrics import Metrics
from aestream.settings import reference
from aestream.settings.settings import Settings

_log = logging.getLogger(__name__)

_Metrics = TypeVar("_Metrics", bound=Metrics)


@contextmanager
def surrounded(
    settings: Settings, role: Callable[[CollectorRegistry], _Metrics], *, stale_after: float
) -> Iterator[tuple[_Metrics, Health]]:
    """Metrics, probes and the HTTP server around a service; log lines at both ends."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    metrics = role(collectors)
    metrics.build_info.labels(aestream.__version__).set(1)
    health = Health(stale_after=stale_after)
    metrics.ready.set_function(lambda: health.ready()[0])
    server = HttpServer(
        settings.http.host,
        settings.http.port,
        health=health,
        registry=collectors,
        version=aestream.__version__,
    )
    _log.info("aestream %s, metrics at http://%s/metrics", aestream.__version__, server.address)
    for name in reference.unknown_variables(os.environ):
        _log.warning("%s is no setting and is ignored; `aestream config` lists all", name)
    try:
        yield metrics, health
    finally:
        server.close()
