"""The loop: poll, score, publish, commit. A signal only sets a flag; the batch in hand is always finished."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from aestream.errors import AestreamError, StalledError, TooLargeError
from aestream.messages.dead_letters import InvalidLimits
from aestream.pipeline import LoadedModel, Results
from aestream.registry.watcher import Watcher
from aestream.service import garbage
from aestream.service.ledger import Ledger
from aestream.service.membership import GroupWatch
from aestream.service.meter import Meter
from aestream.service.progress import Progress
from aestream.service.service import Service
from aestream.service.upkeep import Upkeep
from aestream.service.watchdog import tell_stacks
from aestream.transport.base import CLOSE_SECONDS, Delivery, Sink, Source
from aestream.types import Batch, Changes, Level, Partition, Standing

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5  # how long a poll waits when nothing comes; bounds how long a stop or a new model waits
_TIDY_SECONDS = 1.0  # how often gauges are set
_PATIENT_SECONDS = 5.0  # a broker may be silent for so long without a word about it
_NAMED_PARTITIONS = 10  # in a line of the log; the others are counted
_AWAY, _UNTAKEN = "an answer from Kafka", "Kafka to accept results"


class Worker:
    """A running worker, with a model, a source and a sink: it scores the stream until it is stopped.

    `delivery` uses the same source and sink. `drain_timeout`, in seconds, bounds how long the end, after a stop or an
    error, waits for a broker that is away. `max_bytes` bounds what is remembered of entities.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        source: Source,
        sink: Sink,
        delivery: Delivery,
        watcher: Watcher[LoadedModel],
        group: GroupWatch,
        limits: InvalidLimits,
        ledger: Ledger,
        progress: Progress,
        meter: Meter,
        service: Service,
        drain_timeout: float,
        max_bytes: int,
    ) -> None:
        self._source = source
        self._sink = sink
        self._delivery = delivery
        self._watcher = watcher
        self._group = group
        self._limits = limits
        self._ledger = ledger
        self._progress = progress
        self._meter = meter
        self._service = service
        self._drain_timeout = drain_timeout
        self._upkeep = Upkeep(
            meter,
            publish=lambda messages: delivery.record(messages, patience=self._patience),
            sendable=sink.max_bytes,
            max_bytes=max_bytes,
        )
        self._passing = garbage.Passing()
        self._refused = 0  # commits refused since the last one that was accepted
        self._tidied = self._waited = self._waiting_since = 0.0
        self._told: str | None = "starting"  # what the worker waits for, as last logged
        self._model = model
        self._use(model)

    @property
    def model(self) -> LoadedModel:
        """The model in use."""
        return self._model

    def run(self) -> str | None:
        """Score until asked to stop; if the worker falls out of its group before that, return why, in words.

        Raises InvalidRecordsError when the limits are broken, TransportError when Kafka cannot be used, DeliveryError
        when results are refused, StalledError when records that can be read are not. Nothing unpublished is committed
        in any case.
        """
        for topic in self._model.pipeline.topics:
            self._sink.partition_count(topic)  # one that is missing ends the worker now, not with the first anomaly
        self._service.started("scoring")
        self._group.begin()
        lost = None
        while lost is None and not self._service.stop.is_set():
            if not self._take_model():
                break
            with self._meter.timed("poll"):
                batch = self._source.poll(_IDLE_SECONDS, read=not self._refused)
            if not self._hear(self._source.changes()):
                break  # the batch in hand is read again
            if len(batch):
                self._process(batch)
            if self._commit(batch) and self._ledger.due():
                with self._meter.timed("state"):
                    self._ledger.write(self._source.committed())
            self._tidy()
            self._service.beat()
            lost = self._lost()
        if lost is not None:  # a next member reads from the commits, and perhaps other partitions
            self._ledger.drop(self._source.assigned())
            self._ledger.close({})
        return lost

    def close(self) -> None:
        """Leave in an order that loses nothing.

        1. The batch in hand is finished or dropped as a whole: both happened before this is called.
        2. Commit what is published and was not committed yet.
        3. Write what is remembered of entities, as of these commits.
        4. Close the sink: everything that matters was flushed.
        5. Leave the group last, so that the next owner of a partition starts after our commit.

        `drain_timeout` is the time for all of it together.
        """
        for step in (
            lambda: self._delivery.commit(Batch(), patience=self._patience),
            lambda: self._ledger.close(self._source.committed()),
            lambda: self._sink.close(self._left()),
            lambda: self._source.close(self._left()),
        ):
            try:
                step()
            except AestreamError as error:
                _log.warning("while shutting down: %s", error)

    def _left(self) -> float:
        """How long a connection may take to close, in seconds."""
        return min(CLOSE_SECONDS, self._service.left(self._drain_timeout))

    def _take_model(self) -> bool:
        """Switch to a newly loaded model, between two batches, once all that the former one scored is committed.

        False if the worker is to stop before the model knows its entities.
        """
        model = None if self._refused else self._watcher.take()
        if model is None:
            return True
        model.pipeline.go_on(self._model.pipeline)
        self._use(model)
        changed = self._ledger.change(model, self._source)
        self._annotate(model.pipeline.stream.parts)
        return changed

    def _use(self, model: LoadedModel) -> None:
        self._model = model
        garbage.settle()
        self._meter.uses(model)
        _log.info("scoring with model %s", model.version)

    def _hear(self, changes: Changes) -> bool:
        """Count and log the partitions that came and went; what was not committed of those that went is not ours.

        False if the worker is to stop before those that came are taken over.
        """
        gone = changes.revoked | changes.lost
        self._delivery.forget(gone)
        self._ledger.drop(gone)
        self._meter.changed(changes)
        for event, partitions in changes.rebalances.items():
            _log.info("partitions %s: %s", event, _named(partitions))
        begun = self._ledger.begin(self._model, changes.starts, self._source)
        if changes.assigned:
            self._annotate(self._model.pipeline.stream.parts)
        return begun

    def _process(self, batch: Batch) -> None:
        """Turn a batch into acknowledged results."""
        self._upkeep.heard(batch)
        pipeline = self._model.pipeline
        self._ledger.follow(batch)  # first: what is remembered is ahead of the commits from here on, even on an error
        with self._meter.timed("decode"):
            decoded = pipeline.decode(batch)
        with self._meter.timed("score"):
            scored = pipeline.score(batch, decoded)
            write = partial(pipeline.results, batch, decoded, scored, self._sink.max_bytes)
            results = write()
        self._limits.check(len(batch), results.invalid)
        with self._meter.timed("publish"):
            results = self._publish(results, write)
        self._upkeep.judged(results.scored)
        self._meter.published(batch, results)
        self._passing.passed(batch.values)

    def _publish(self, results: Results, write: Callable[[], Results]) -> Results:
        """Publish the results; `write` smaller ones if a topic turns out to accept less than was known."""
        for attempt in itertools.count():
            try:
                self._delivery.publish(results.messages, patience=self._patience, topic_by_topic=attempt > 0)
            except TooLargeError as error:
                _log.warning("%s; its results are cut or become dead letters", error)
                results = write()
            else:
                break
        return results

    def _commit(self, batch: Batch) -> bool:
        """Commit a batch, and what is still to be committed; False if that was refused."""
        with self._meter.timed("commit", when=len(batch) > 0):
            done = self._delivery.commit(batch, patience=self._patience)
        if not done:
            self._meter.refused()
            if not self._refused:
                _log.warning("a commit was refused, as happens in a rebalance: it is tried again after the next poll")
            self._refused += 1
            return False
        if self._refused:
            _log.info("commits are accepted again; %d were refused", self._refused)
        if len(batch) or self._refused:
            self._meter.committed()
        self._refused = 0
        return True

    def _lost(self) -> str | None:
        """Why this worker is out of its group for good; None while it is not."""
        lost = self._group.look(self._source.membership(), refused=self._refused > 0)
        if lost is not None and not self._source.answers():
            self._group.begin()  # an outage: a broker that does not answer cannot let us in
            return None
        return lost

    def _patience(self) -> bool:
        """Whether to keep waiting for the broker: always while running, and for `drain_timeout` once it is to end."""
        now = time.monotonic()
        if now - self._waited > _PATIENT_SECONDS:  # this is the first call in a while
            self._waiting_since = now
        waits = _AWAY
        if now - self._waiting_since > _PATIENT_SECONDS:
            if not self._service.stop.is_set() and self._source.answers():
                waits = _UNTAKEN
            self._tell(waits, 0)
        self._service.wait_for(waits)  # `_tidy` clears it
        self._waited = time.monotonic()
        self._service.beat()
        return self._service.draining(self._drain_timeout)

    def _tidy(self) -> None:
        """Set the gauges and readiness, once a second at most."""
        now = time.monotonic()
        if now - self._tidied < _TIDY_SECONDS and self._service.health.ready()[0]:
            return
        self._tidied = now
        assigned = self._source.assigned()
        waits = None if self._source.joined() else "the consumer group"
        # A client may believe that it is a member throughout an outage, or take itself for one that has to join.
        if (assigned or waits) and not self._source.answers():
            waits = _AWAY
        self._service.wait_for(waits)
        self._tell(waits, len(assigned))
        positions = self._source.positions()
        self._meter.stands(positions, len(assigned))
        self._meter.aborted(self._delivery.aborted)
        settled = positions if waits is None and not self._refused else {}
        stalled = self._progress.look(settled, self._source.committed())
        if stalled is not None:
            self._service.health.fail(stalled)
            tell_stacks(stalled)
            raise StalledError(f"{stalled}: the log shows where each thread is; a restart goes on from the last commit")
        memory = self._upkeep.tidy(self._model.pipeline, positions if waits is None else {})
        self._annotate(memory.parts)

    def _annotate(self, parts: Mapping[Partition | None, Mapping[Level, int]]) -> None:
        """Let commits say which versions of the model are needed, and how many entities of each level there are."""
        standings = {}
        for part in self._source.assigned():
            versions = dict.fromkeys([*self._ledger.versions(part), self._model.version])
            names, levels = (version.rpartition("@")[2] for version in versions), parts.get(part, {})
            standings[part] = Standing(tuple(names), sum(levels.values()), levels.get(Level.MOVED, 0))
        self._source.annotate(standings)

    def _tell(self, waits: str | None, partitions: int) -> None:
        """Log what the worker waits for, when that changes."""
        if waits == self._told:
            return
        self._told = waits
        if waits is None:
            _log.info("ready, with %d partitions", partitions)
        elif waits is _AWAY:
            _log.warning("no answer from Kafka: nothing is scored until it is back; the worker keeps trying")
        elif waits is _UNTAKEN:
            _log.warning(
                "Kafka answers, and does not accept results or commits: nothing is scored until it does; check that "
                "these topics exist, and that all brokers run: %s",
                ", ".join(self._model.pipeline.topics),
            )
        else:
            _log.info("waiting for %s", waits)


def _named(partitions: frozenset[Partition]) -> str:
    """The partitions' names in order; of many, the first ones."""
    names = [f"{topic}/{number}" for topic, number in sorted(partitions)]
    more = len(names) - _NAMED_PARTITIONS
    return ", ".join(names[:_NAMED_PARTITIONS]) + (f" and {more} more" if more > 0 else "")
