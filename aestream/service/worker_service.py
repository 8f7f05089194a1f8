"""The worker as a service: it waits for a model, joins, scores, joins once more if it must, and leaves in order."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from aestream.errors import AestreamError, TransportError
from aestream.pipeline import LoadedModel
from aestream.registry.watcher import Watcher
from aestream.service import garbage
from aestream.service.service import Service
from aestream.service.worker import Worker
from aestream.transport.base import Sink, Source

_log = logging.getLogger(__name__)

_FIRST_ANSWER_SECONDS = 3600.0  # whoever sets a long `bootstrap_timeout_ms` wants it to wait
_LOOK_SECONDS = 0.1  # how often a first model is looked for


class WorkerService:
    """Runs a worker until it is stopped.

    `open_source` and `open_sink` connect to Kafka; they are called once there is a model, so that a worker that has
    nothing to score with takes no partitions. `employ` makes the worker from all three. The source is opened once more,
    for another worker, when one has fallen out of its group.
    """

    def __init__(
        self,
        *,
        open_source: Callable[[], Source],
        open_sink: Callable[[], Sink],
        employ: Callable[[LoadedModel, Source, Sink], Worker],
        watcher: Watcher[LoadedModel],
        service: Service,
    ) -> None:
        self._open_source = open_source
        self._open_sink = open_sink
        self._employ = employ
        self._watcher = watcher
        self._service = service

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
            with self._service.asking(_FIRST_ANSWER_SECONDS), self._service.stop.interrupting():
                sink = self._open_sink()
                opened.callback(sink.close)
                source = self._open_source()
                opened.callback(source.close)
            if self._service.stop.is_set():
                return
            opened.pop_all()  # from here on, the worker closes them, in its own order
        worker = self._employ(model, source, sink)
        try:
            lost = worker.run()
            if lost is not None:
                _log.error("this worker has fallen out of its consumer group: %s; rejoining", lost)
                self._leave(source)
                with self._service.asking(_FIRST_ANSWER_SECONDS), self._service.stop.interrupting():
                    worker = self._employ(worker.model, self._open_source(), sink)
                lost = worker.run()
            if lost is not None:
                raise TransportError(
                    f"this worker has fallen out of its consumer group again: {lost}. Look at the group's other "
                    "members and at the broker's log; a restart rejoins the group"
                )
        finally:
            self._service.stopping()
            worker.close()

    def _leave(self, source: Source) -> None:
        """Give up the membership in the group that was lost."""
        self._service.wait_for("the consumer group")
        try:
            source.close()
        except AestreamError as error:
            _log.warning("while leaving the group: %s", error)
        self._service.beat()  # this and the next step may each take a while
