"""The loop: poll, decode, score, publish, commit. A signal only sets a flag; the batch in hand is always finished."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from aestream.errors import AestreamError, TooLargeError, TransportError
from aestream.messages.dead_letters import InvalidLimits
from aestream.pipeline import Pipeline, Results
from aestream.registry.watcher import Watcher
from aestream.service import garbage, systemd
from aestream.service.health import Health
from aestream.service.membership import GroupWatch
from aestream.service.metrics import WorkerMetrics
from aestream.service.stop import Stop
from aestream.transport.base import Sink, Source
from aestream.transport.delivery import AtLeastOnce
from aestream.types import Batch

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5  # how long a poll waits when there is nothing; bounds how long a stop or a new model waits
_TIDY_SECONDS = 1.0  # how often gauges are set
_AWAY = "an answer from Kafka"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version ready to score with."""

    pipeline: Pipeline
    version: str
    sha256: str
    trained: float  # seconds since the epoch
    threshold: float


class Worker:
    """Scores a stream until it is stopped.

    `open_source` and `open_sink` connect to Kafka; they are called once there is a model, so that a worker that has
    nothing to score with takes no partitions. The source is opened once more when the worker has fallen out of its
    group. `drain_timeout` is in seconds.
    """

    def __init__(
        self,
        *,
        open_source: Callable[[], Source],
        open_sink: Callable[[], Sink],
        group: GroupWatch,
        watcher: Watcher[LoadedModel],
        limits: InvalidLimits,
        metrics: WorkerMetrics,
        health: Health,
        stop: Stop,
        drain_timeout: float,
    ) -> None:
        self._open_source = open_source
        self._open_sink = open_sink
        self._group = group
        self._watcher = watcher
        self._limits = limits
        self._metrics = metrics
        self._health = health
        self._stop = stop
        self._drain_timeout = drain_timeout
        self._reopened = False
        self._refused = 0  # commits refused since the last one that was taken
        self._tidied = 0.0
        self._info: tuple[str, ...] | None = None
        self._told: str | None = "starting"  # what the log last said that is waited for

    def run(self) -> None:
        """Start, score until stopped, shut down in order.

        Raises InvalidRecordsError when the limits are broken, TransportError when Kafka cannot be used or the group
        is lost a second time, DeliveryError when results are refused. Nothing unpublished is committed in any case.
        """
        self._watcher.start()
        try:
            if not self._wait_for_model():
                return
            self._health.wait_for("connection to Kafka")
            with self._stop.interrupting():
                self._sink, self._source = self._open_sink(), self._open_source()
            if self._stop.is_set():
                return
            self._delivery = AtLeastOnce(self._source, self._sink)
            self._group.begin()
            try:
                self._main_loop()
            finally:
                self._shut_down()
        finally:
            self._watcher.close()
            garbage.release()

    def _wait_for_model(self) -> bool:
        """Be live but not ready until the store has a model. False: stopped before."""
        systemd.notify("READY=1\nSTATUS=waiting for a model")
        wanted = f"a model in {self._watcher.place}: `aestream train` makes one"
        _log.info("waiting for %s", wanted)
        while not self._stop.is_set():
            if self._take_model():
                return True
            failure = self._watcher.failure
            self._health.wait_for(failure.why if failure else wanted)
            self._beat()
            self._stop.wait(_IDLE_SECONDS / 5)
        return False

    def _main_loop(self) -> None:
        for topic in self._model.pipeline.topics:
            self._sink.partition_count(topic)  # one that is missing ends the worker now, not with the first anomaly
        systemd.notify("READY=1\nSTATUS=scoring")
        while not self._stop.is_set():
            self._take_model()
            with self._timed("poll"):
                batch = self._source.poll(_IDLE_SECONDS)
            if len(batch):
                self._process(batch)
            self._commit(batch)
            self._watch_group()
            self._tidy()
            self._beat()

    def _process(self, batch: Batch) -> None:
        """Turn a batch into acknowledged results."""
        with self._timed("decode"):
            decoded = self._model.pipeline.decode(batch)
        with self._timed("score"):
            results = self._model.pipeline.results(batch, decoded, self._sink.max_bytes)
        self._limits.check(len(batch), results.invalid)
        with self._timed("publish"):
            careful = False
            while not self._published(results, topic_by_topic=careful):
                careful = True
                results = self._model.pipeline.results(batch, decoded, self._sink.max_bytes)
        self._count(batch, results)

    def _published(self, results: Results, *, topic_by_topic: bool) -> bool:
        """Publish all or say False: a topic accepts less than was known, and the sink has learnt how much."""
        try:
            self._delivery.publish(results.messages, patience=self._patience, topic_by_topic=topic_by_topic)
        except TooLargeError as error:
            _log.warning("%s; its results are cut or become dead letters", error)
            return False
        return True

    def _commit(self, batch: Batch) -> None:
        with self._timed("commit", when=len(batch) > 0):
            done = self._delivery.commit(batch, patience=self._patience)
        if not done:
            self._metrics.errors.labels("commit", "refused").inc()
            if not self._refused:
                _log.warning("a commit was refused, as happens in a rebalance: it is tried again after the next poll")
            self._refused += 1
            return
        if self._refused:
            _log.info("commits are taken again; %d were refused", self._refused)
        if len(batch) or self._refused:
            self._metrics.last_commit.set_to_current_time()
        self._refused = 0

    def _watch_group(self) -> None:
        """Open the source anew when this worker has fallen out of its group for good; give up the second time."""
        lost = self._group.look(self._source.membership(), refused=self._refused > 0)
        if lost is None:
            return
        if not self._source.answers():
            self._group.begin()  # an outage: whoever cannot be asked cannot let us in
            return
        if self._reopened:
            raise TransportError(
                f"this worker has fallen out of its consumer group again: {lost}. Look at the group's other members "
                "and at the broker's log; a restart joins the group anew"
            )
        _log.error("this worker has fallen out of its consumer group: %s; joining anew", lost)
        self._health.wait_for("the consumer group")
        self._reopened, self._refused = True, 0
        self._source.close()
        self._beat()  # either step may take a while
        self._source = self._open_source()
        self._delivery = AtLeastOnce(self._source, self._sink)
        self._group.begin()

    def _patience(self) -> bool:
        """Wait on for the broker: always while running, and for `drain_timeout` after a stop was asked for."""
        self._health.wait_for(_AWAY)  # `_tidy` takes it back
        self._beat()
        return self._stop.since is None or time.monotonic() - self._stop.since < self._drain_timeout

    def _shut_down(self) -> None:
        """Leave in an order that loses nothing.

        1. The batch in hand is finished or dropped as a whole: both happened before this is called.
        2. Commit what is published and was not committed yet.
        3. Close the sink: everything that matters was flushed.
        4. Leave the group last, so that the next owner of a partition starts behind our commit.
        """
        systemd.notify("STOPPING=1")
        self._health.wait_for("shutting down")
        for step in (
            lambda: self._delivery.commit(Batch(), patience=self._patience),
            self._sink.close,
            self._source.close,
        ):
            try:
                step()
            except AestreamError as error:
                _log.warning("while shutting down: %s", error)
        _log.info("stopped")

    def _take_model(self) -> bool:
        """Switch to a newly loaded model, between two batches."""
        model = self._watcher.take()
        if model is None:
            return False
        self._model = model
        garbage.settle()
        info = (*model.version.split("@"), model.sha256)
        if self._info is not None:
            self._metrics.model_info.remove(*self._info)
        self._metrics.model_info.labels(*info).set(1)
        self._info = info
        self._metrics.model_trained.set(model.trained)
        self._metrics.score_threshold.set(model.threshold)
        for feature in model.pipeline.categories:
            self._metrics.unseen_categories.labels(feature)  # begins at 0, so that a first increase shows
        _log.info("scoring with model %s", model.version)
        return True

    def _beat(self) -> None:
        self._health.beat()
        systemd.notify("WATCHDOG=1")

    def _tidy(self) -> None:
        """Set the gauges and readiness, once a second at most."""
        now = time.monotonic()
        if now - self._tidied < _TIDY_SECONDS and self._health.ready()[0]:
            return
        self._tidied = now
        assigned = self._source.assigned()
        waits = None if self._source.joined() else "the consumer group"
        if assigned and not self._source.answers():  # the client believes in its membership through any outage
            waits = _AWAY
        self._health.wait_for(waits)
        self._tell(waits, len(assigned))
        self._metrics.assigned_partitions.set(len(assigned))
        positions = self._source.positions()
        self._metrics.consumer_lag_records.clear()
        self._metrics.consumer_lag_seconds.clear()
        for (topic, partition), position in positions.items():
            self._metrics.consumer_lag_records.labels(topic, partition).set(position.lag_records)
            self._metrics.consumer_lag_seconds.labels(topic, partition).set(position.lag_seconds)

    def _tell(self, waits: str | None, partitions: int) -> None:
        """Log what is waited for when that changes."""
        if waits == self._told:
            return
        self._told = waits
        if waits is None:
            _log.info("ready, with %d partitions", partitions)
        elif waits is _AWAY:
            _log.warning("no answer from Kafka: nothing is scored until it is back; it is asked again and again")
        else:
            _log.info("waiting for %s", waits)

    def _count(self, batch: Batch, results: Results) -> None:
        """Count a batch that is acknowledged."""
        metrics, scored = self._metrics, results.scored
        for (topic, _), start, stop in batch.spans:
            metrics.records_consumed.labels(topic).inc(stop - start)
        metrics.records_scored.inc(len(scored.rows))
        metrics.anomalies.inc(len(scored.flagged))
        for problem in results.invalid:
            metrics.dead_letters.labels(problem.reason).inc()
        for feature, count in scored.unseen.items():
            metrics.unseen_categories.labels(feature).inc(count)
        metrics.batch_size.observe(len(batch))
        metrics.last_record_processed.set_to_current_time()
        metrics.anomaly_score.observe(scored.score)
        stamped = np.asarray(batch.timestamps, np.float64)
        age = time.time() - stamped[stamped > 0] / 1000  # a record without a timestamp has none
        metrics.end_to_end_latency.observe(np.maximum(age, 0.0))

    @contextmanager
    def _timed(self, stage: str, *, when: bool = True) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        except AestreamError as error:
            self._metrics.errors.labels(stage, type(error).__name__).inc()
            raise
        if when:
            self._metrics.batch_duration.labels(stage).observe(time.perf_counter() - start)
