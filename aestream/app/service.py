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
from aestream.service.endpoints import HttpServer
from aestream.service.metrics import Metrics
from aestream.service.service import Service
from aestream.settings import reference
from aestream.settings.settings import Settings

_log = logging.getLogger(__name__)

_Metrics = TypeVar("_Metrics", bound=Metrics)


@contextmanager
def surrounded(
    settings: Settings, role: Callable[[CollectorRegistry], _Metrics], *, stale_after: float
) -> Iterator[tuple[_Metrics, Service]]:
    """A service with its metrics, its probes and its HTTP server; logs a line at both ends.

    `role` makes its metrics; a service without a heartbeat for `stale_after` seconds is not live.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    metrics = role(collectors)
    metrics.build_info.labels(aestream.__version__).set(1)
    service = Service(stale_after=stale_after)
    metrics.ready.set_function(lambda: service.health.ready()[0])
    server = HttpServer(
        settings.http.host,
        settings.http.port,
        health=service.health,
        registry=collectors,
        version=aestream.__version__,
        tls_certfile=settings.http.tls_certfile,
        tls_keyfile=settings.http.tls_keyfile,
        username=settings.http.username,
        password=settings.http.password.get_secret_value() if settings.http.password else None,
    )
    _log.info("aestream %s, metrics at %s/metrics", aestream.__version__, server.url)
    for name in reference.unknown_variables(os.environ):
        _log.warning("%s is not a setting and is ignored; `aestream config` lists all", name)
    try:
        yield metrics, service
    finally:
        server.close()
        _log.info("stopped")
