"""The worker as a service: it waits for a model, joins, scores, joins once more if it must, and leaves in order."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from aestream.errors import AestreamError, TransportError
from aestream.messages.dead_letters import InvalidLimits
from aestream.pipeline import LoadedModel
from aestream.registry.watcher import Watcher
from aestream.service import garbage
from aestream.service.membership import GroupWatch
from aestream.service.meter import Meter
from aestream.service.service import Service
from aestream.service.worker import Worker
from aestream.transport.base import Delivery, Sink, Source

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1  # how often a first model is looked for


class WorkerService:
    """Runs a worker until it is stopped.

    `open_source` and `open_sink` connect to Kafka; they are called once there is a model, so that a worker that has
    nothing to score with takes no partitions. The source is opened once more when the worker has fallen out of its
    group. `deliver` makes the delivery from both. `drain_timeout` is in seconds.
    """

    def __init__(
        self,
        *,
        open_source: Callable[[], Source],
        open_sink: Callable[[], Sink],
        deliver: Callable[[Source, Sink], Delivery],
        watcher: Watcher[LoadedModel],
        group: GroupWatch,
        limits: InvalidLimits,
        meter: Meter,
        service: Service,
        drain_timeout: float,
    ) -> None:
        self._open_source = open_source
        self._open_sink = open_sink
        self._deliver = deliver
        self._watcher = watcher
        self._group = group
        self._limits = limits
        self._meter = meter
        self._service = service
        self._drain_timeout = drain_timeout

    def run(self) -> None:
        """Start, score until stopped, shut down in order.

        Raises what `Worker.run` raises, and TransportError when the group is lost a second time.
        """
        self._watcher.start()
        try:
            model = self._first_model()
            if model is not None:
                self._score(model)
        finally:
            self._watcher.close()
            garbage.release()

    def _first_model(self) -> LoadedModel | None:
        """Be live but not ready until the store has a model. None: stopped before."""
        self._service.started("waiting for a model")
        wanted = f"a model in {self._watcher.place}: `aestream train` makes one"
        _log.info("waiting for %s", wanted)
        while not self._service.stop.is_set():
            model = self._watcher.take()
            if model is not None:
                _log.info("model %s is loaded", model.version)
                return model
            failure = self._watcher.failure
            self._service.wait_for(failure.why if failure else wanted)
            self._service.beat()
            self._service.stop.wait(_LOOK_SECONDS)
        return None

    def _score(self, model: LoadedModel) -> None:
        self._service.wait_for("a connection to Kafka")
        with contextlib.ExitStack() as opened:
            with self._service.stop.interrupting():
                sink = self._open_sink()
                opened.callback(sink.close)
                source = self._open_source()
                opened.callback(source.close)
            if self._service.stop.is_set():
                return
            opened.pop_all()  # from here on, the worker closes them, in its own order
        worker = self._worker(model, source, sink)
        try:
            lost = worker.run()
            if lost is not None:
                _log.error("this worker has fallen out of its consumer group: %s; rejoining", lost)
                self._service.wait_for("the consumer group")
                try:
                    source.close()
                except AestreamError as error:
                    _log.warning("while leaving the group: %s", error)
                self._service.beat()  # either step may take a while
                with self._service.stop.interrupting():
                    worker = self._worker(worker.model, self._open_source(), sink)
                lost = worker.run()
            if lost is not None:
                raise TransportError(
                    f"this worker has fallen out of its consumer group again: {lost}. Look at the group's other "
                    "members and at the broker's log; a restart rejoins the group"
                )
        finally:
            self._service.stopping()
            worker.close()

    def _worker(self, model: LoadedModel, source: Source, sink: Sink) -> Worker:
        return Worker(
            model,
            source=source,
            sink=sink,
            delivery=self._deliver(source, sink),
            watcher=self._watcher,
            group=self._group,
            limits=self._limits,
            meter=self._meter,
            service=self._service,
            drain_timeout=self._drain_timeout,
        )
