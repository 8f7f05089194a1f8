"""Turns settings into the worker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any

from aestream.app import clients, models, topics
from aestream.app.service import surrounded
from aestream.app.validate import check_configuration
from aestream.messages.dead_letters import InvalidLimits
from aestream.networks.threads import use_threads
from aestream.pipeline import LoadedModel
from aestream.registry.watcher import Watcher
from aestream.service import heap, log
from aestream.service.ledger import Ledger
from aestream.service.membership import GroupWatch
from aestream.service.meter import Meter
from aestream.service.metrics import WorkerMetrics
from aestream.service.progress import Progress
from aestream.service.reloads import Reloads
from aestream.service.replay import Replay
from aestream.service.service import Service
from aestream.service.state_topic import StateTopic
from aestream.service.take_over import TakeOver
from aestream.service.watchdog import Watchdog
from aestream.service.worker import Worker
from aestream.service.worker_service import WorkerService
from aestream.settings.settings import Settings
from aestream.transport.base import Delivery, Outlet, Source

_STALE_SECONDS = 50.0  # below systemd's WatchdogSec, so that the log shows where it hangs before it is killed
_STATE_SECONDS = 1.0  # how long what is remembered may take to be acknowledged once a request has timed out


def run_worker(settings: Settings) -> None:
    """The worker as a service: HTTP, model watcher, loop, signals. Raises ConfigurationError before it begins."""
    check_configuration(settings)
    threads = use_threads(settings.worker.threads)
    heap.keep_freed()
    with surrounded(settings, WorkerMetrics, stale_after=_STALE_SECONDS) as (metrics, service):
        metrics.inference_threads.set(threads)
        watcher = Watcher(
            models.registry(settings),
            lambda version: models.load_model(settings, version),
            interval=settings.model.poll_interval,
            listener=Reloads(settings.model.name, metrics),
        )
        service.stop.listen(reload=watcher.look_now)
        worker = partial(
            Worker,
            watcher=watcher,
            group=GroupWatch(
                session_timeout=settings.kafka.session_timeout_ms / 1000,
                max_poll_interval=settings.kafka.max_poll_interval_ms / 1000,
            ),
            limits=InvalidLimits(
                max_ratio=settings.dead_letters.max_invalid_ratio,
                max_consecutive=settings.dead_letters.max_consecutive_count,
            ),
            progress=Progress(timeout=settings.worker.stall_timeout),
            meter=Meter(metrics),
            service=service,
            drain_timeout=settings.worker.drain_timeout,
            max_bytes=settings.state.max_bytes,
        )

        def employ(model: LoadedModel, source: Source, sink: Any) -> Worker:
            delivery = clients.DELIVERIES[settings.delivery](source, sink)
            ledger = _ledger(settings, service, delivery)
            return worker(model, source=source, sink=sink, delivery=delivery, ledger=ledger)

        watchdog = Watchdog(service, drain_timeout=settings.worker.drain_timeout)
        service_of_workers = WorkerService(
            open_source=lambda: _open_source(settings),
            open_sink=lambda: clients.result_sink(settings, topics.surveyed(settings).limits),
            employ=employ,
            watcher=watcher,
            service=service,
        )
        with closing(watchdog):
            service_of_workers.run()


def _ledger(settings: Settings, service: Service, delivery: Delivery) -> Ledger:
    """Where what is remembered of entities is kept."""
    settings = clients.in_contact(settings)

    def open_outlet(limits: Mapping[str, int]) -> Outlet:
        return delivery.outlet(lambda: clients.sink(settings, limits, patience=_STATE_SECONDS))

    history = clients.history(settings, settings.topics.input)
    topic = StateTopic(
        settings.state.topic,
        topics=clients.topics(settings),
        history=history,
        open_outlet=open_outlet,
        remedy=topics.RESULT_REMEDY,
        service=service,
        drain_timeout=settings.worker.drain_timeout,
    )
    replay = Replay(history, lambda version: models.load_model(settings, version))
    take_over = TakeOver(
        clients.group_id(settings),
        topic,
        history,
        replay,
        service,
        patience=settings.kafka.max_poll_interval_ms / 1000 / 2,
    )
    return Ledger(topic, take_over)


def _open_source(settings: Settings) -> Source:
    """The worker's input, opened last: its work begins, and from here on the Kafka client logs."""
    opened = clients.source(settings)
    log.hear_client("warning")
    return opened
