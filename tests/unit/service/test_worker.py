"""The loop over the in-memory transport: a worker that is outside its group does not go on for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aestream.app import models
from aestream.detector.stream import Stream
from aestream.errors import ModelError, NoAnswerError, TransportError
from aestream.messages.dead_letters import InvalidLimits
from aestream.pipeline import LoadedModel
from aestream.registry.local import LocalRegistry
from aestream.registry.watcher import Watcher
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
from aestream.service.worker import Worker
from aestream.service.worker_service import WorkerService
from aestream.settings import settings
from aestream.transport.base import CLOSE_SECONDS, Source, TransactionalSink
from aestream.transport.delivery import AtLeastOnce
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemorySink, MemorySource, MemoryTopics, Message
from aestream.types import Batch, Changes, Membership, Partition
from tests.kafka import records
from tests.kafka.cluster import wait_for

SESSION = 0.3  # seconds
INPUT, SCORES = Partition("in", 0), Partition("scores", 0)


class Stranded(MemorySource):
    """A member that never joins again: it reads on, and every commit is refused."""

    answering = True

    def membership(self) -> Membership:
        return Membership.OUTSIDE

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:  # noqa: ARG002
        return not positions

    def answers(self) -> bool:
        return self.answering


class Rebalancing(MemorySource):
    """A member whose first commit comes in the middle of a rebalance."""

    refused = False

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        if positions and not self.refused:
            self.refused = True
            return False
        return super().commit(positions, within=within)


class Suspended(MemorySource):
    """A member that was suspended: its first commit is refused, and its partition comes back from another member."""

    back = False

    def changes(self) -> Changes:
        if not self.back:
            return super().changes()
        self.back = False
        return Changes(assigned=self.assigned(), lost=self.assigned())

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:
        if positions and INPUT not in self._broker.committed:
            self._broker.committed[INPUT] = 30  # by the other member
            self.back = True
            return False
        return super().commit(positions, within=within)


class Failing(MemorySource):
    """A member that fails while its last commit is refused, and then has no answer from the broker."""

    refused = False

    def poll(self, timeout: float, *, read: bool = True) -> Batch:
        if self.refused:
            raise TransportError("the topic is gone")
        return super().poll(timeout, read=read)

    def commit(self, positions: Mapping[Partition, int], *, within: TransactionalSink | None = None) -> bool:  # noqa: ARG002
        if self.refused:
            raise NoAnswerError("no answer")
        self.refused = bool(positions)
        return not positions


class Missing(MemorySource):
    """A source whose topic does not exist."""

    def __init__(self, *_: object) -> None:
        raise TransportError("input topic in does not exist")


class Closed(MemorySink):
    """A sink that remembers whether it was closed."""

    closed = False

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        super().close(timeout)
        self.closed = True


class Away(Stranded):
    """The same while no broker answers."""

    answering = False


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    records.train(folder)
    return folder


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker({"in": 1, "scores": 1, "anomalies": 1, "dead": 1})
    for value in records.values(20):
        made.append("in", Message(value))
    return made


def nothing_kept(broker: MemoryBroker, service: Service) -> Ledger:
    """A ledger without a topic."""
    history = MemoryHistory(broker, ["in"])
    topic = StateTopic(
        None,
        topics=MemoryTopics(broker),
        history=history,
        open_outlet=lambda _limits: AtLeastOnce(MemorySource(broker, []), MemorySink(broker)).outlet(
            lambda: MemorySink(broker)
        ),
        remedy="",
        service=service,
        drain_timeout=1,
    )
    return Ledger(topic, TakeOver("group", topic, history, Replay(history, no_other), service, patience=60))


def no_other(version: str) -> LoadedModel:
    raise ModelError(f"there is no version {version}")


class Running:
    """A worker on a thread of its own, over the sources that it is to open one after the other."""

    def __init__(self, store: Path, broker: MemoryBroker, sources: Iterator[type[MemorySource]]) -> None:
        given = {
            "model": {"store": str(store)},
            "topics": {"scores": "scores", "anomalies": "anomalies", "dead_letters": "dead"},
        }
        loaded = settings.load(overrides=given)
        self.metrics = WorkerMetrics(CollectorRegistry())
        self.service = Service(stale_after=60)
        self.error: Exception | None = None
        self.opened: list[Source] = []
        self.sink = Closed(broker)

        def open_source() -> Source:
            self.opened.append(next(sources)(broker, ["in"]))
            return self.opened[-1]

        watcher = Watcher(
            models.registry(loaded),
            lambda version: models.load_model(loaded, version),
            interval=60,
            listener=Reloads("default", self.metrics),
        )
        worker = partial(
            Worker,
            watcher=watcher,
            group=GroupWatch(session_timeout=SESSION, max_poll_interval=60),
            limits=InvalidLimits(max_ratio=1.0, max_consecutive=1000),
            ledger=nothing_kept(broker, self.service),
            progress=Progress(timeout=60),
            meter=Meter(self.metrics),
            service=self.service,
            drain_timeout=1,
            max_bytes=2**30,
        )
        self._worker = WorkerService(
            open_source=open_source,
            open_sink=lambda: self.sink,
            employ=lambda model, source, sink: worker(
                model, source=source, sink=sink, delivery=AtLeastOnce(source, sink)
            ),
            watcher=watcher,
            service=self.service,
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._worker.run()
        except TransportError as error:
            self.error = error

    def end(self) -> None:
        self.service.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


def test_a_worker_outside_its_group_joins_anew(
    store: Path, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    # 1. Records are scored, and no commit is taken. 2. A session timeout later the source is opened anew.
    # Result: the second member commits; the records came twice, and none is missing.
    with caplog.at_level(logging.INFO, logger="aestream"):
        worker = Running(store, broker, iter([Stranded, MemorySource]))
        wait_for("committed", lambda: broker.committed.get(INPUT) == 20, seconds=30)
        worker.end()
    assert worker.error is None
    assert len(worker.opened) == 2
    assert len(broker.log[SCORES]) == 40
    assert worker.metrics.registry.get_sample_value(
        "aestream_errors_total", {"stage": "commit", "error_type": "refused"}
    )
    said = [(record.levelname, record.message) for record in caplog.records]
    assert [level for level, text in said if "a commit was refused" in text] == ["WARNING"]
    assert [level for level, text in said if "fallen out of its consumer group: it is not a member" in text] == [
        "ERROR"
    ]


def test_a_worker_that_joins_anew_remembers_nothing_of_its_former_partitions(
    store: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[Partition] = []
    monkeypatch.setattr(Stream, "forget", lambda _stream, partitions: forgotten.extend(partitions))
    worker = Running(store, broker, iter([Stranded, MemorySource]))
    wait_for("committed", lambda: broker.committed.get(INPUT) == 20, seconds=30)
    worker.end()
    assert set(forgotten) == {INPUT}


def test_each_commit_says_which_model_was_used(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([MemorySource]))
    wait_for("committed", lambda: broker.committed.get(INPUT) == 20, seconds=30)
    version = LocalRegistry(store, "default").current()
    worker.end()
    assert broker.notes[INPUT] == f"aestream model={version} entities=0 moved=0"


def test_a_commit_that_is_taken_late_counts_as_one(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([Rebalancing]))
    wait_for("committed", lambda: broker.committed.get(INPUT) == 20, seconds=30)
    worker.end()
    assert worker.error is None
    assert worker.metrics.registry.get_sample_value("aestream_last_commit_timestamp_seconds")


def test_what_another_member_committed_meanwhile_is_not_taken_back(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([Suspended]))
    wait_for("committed", lambda: broker.committed.get(INPUT), seconds=30)
    time.sleep(0.3)  # rounds of the loop in which the refused commit could be tried again
    worker.end()
    assert worker.error is None
    assert broker.committed[INPUT] == 30


def test_an_error_ends_it_even_if_the_broker_does_not_answer(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([Failing]))
    worker.thread.join(30)
    assert not worker.thread.is_alive()
    assert "the topic is gone" in str(worker.error)


def test_a_start_that_fails_leaves_nothing_open(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([Missing]))
    worker.thread.join(30)
    assert "does not exist" in str(worker.error)
    assert worker.sink.closed


def test_a_second_time_it_ends(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([Stranded, Stranded]))
    worker.thread.join(30)
    assert not worker.thread.is_alive()
    assert isinstance(worker.error, TransportError)
    assert "fallen out of its consumer group again" in str(worker.error)
    assert "\n" not in str(worker.error)
    assert broker.committed == {}


def test_an_outage_is_no_reason(store: Path, broker: MemoryBroker) -> None:
    worker = Running(store, broker, iter([Away]))
    wait_for("scored", lambda: len(broker.log[SCORES]) == 20, seconds=30)
    time.sleep(5 * SESSION)  # the time itself is what is tested
    assert worker.thread.is_alive()
    worker.end()
    assert worker.error is None
    assert len(worker.opened) == 1
