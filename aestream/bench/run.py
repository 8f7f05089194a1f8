"""`aestream bench`, step by step: the sample, scoring alone, then a worker of its own on temporary topics."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from aestream.app import clients, models
from aestream.app.interrupts import Interrupts
from aestream.app.process import WorkerProcess
from aestream.app.validate import check_configuration
from aestream.bench import arrivals, latency, scoring, throughput
from aestream.bench.latency import Latency
from aestream.bench.report import Findings, Line
from aestream.bench.sample import Sample, gather
from aestream.bench.screen import Screen
from aestream.bench.stand import Stand, prepare
from aestream.bench.throughput import Reading, Throughput
from aestream.errors import AestreamError, ConfigurationError, ModelError, TransportError
from aestream.networks.threads import use_threads
from aestream.pipeline import LoadedModel
from aestream.settings import reference
from aestream.settings.settings import Settings
from aestream.transport.base import History, Sink
from aestream.types import Outgoing, Partition, TopicState

_SAMPLE_BYTES, _SAMPLE_SECONDS = 512 * 2**20, 60.0
_COPY_RECORDS, _COPY_SECONDS = 5_000, 60.0
_ANSWER_SECONDS = 30.0
_NOW_SECONDS = 10.0  # the least time in which the ends of partitions tell a rate


def run(settings: Settings, options: argparse.Namespace, screen: Screen) -> tuple[int, Findings | None]:
    """Measure; return the exit code and what was found: 0 success, 129, 130 or 143 interrupted, without findings.

    Raises AestreamError when something cannot be used. In any case, nothing that was made is left behind.
    """
    if options.records <= 0 or (options.rate is not None and options.rate <= 0):
        raise ConfigurationError("--records and --rate are numbers above 0")
    check_configuration(settings, group=False)
    with Interrupts() as interrupts:
        stack = contextlib.ExitStack()
        try:
            try:
                return 0, _Bench(settings, options, screen, interrupts, stack).run()
            finally:
                interrupts.ignore()
        except KeyboardInterrupt:
            screen.say("stopping")
            return interrupts.exit_code, None
        finally:
            interrupts.ignore()
            stack.close()


class _Bench:
    """The steps. Whatever is made goes onto `stack` at once, which removes it all in reverse order."""

    def __init__(
        self,
        settings: Settings,
        options: argparse.Namespace,
        screen: Screen,
        interrupts: Interrupts,
        stack: contextlib.ExitStack,
    ) -> None:
        self._settings = settings
        self._options = options
        self._screen = screen
        self._interrupts = interrupts
        self._stack = stack

    def run(self) -> Findings:
        """Take the steps; return what was found."""
        settings = self._settings
        stand = None if self._options.scoring_only else prepare(self._options, settings)
        model = self._model()
        like = self._inputs()
        history = clients.history(settings, settings.topics.input)
        parts = [Partition(name, number) for name, topic in like.items() for number in range(topic.partitions)]
        before, since = history.bounds(parts), time.monotonic()
        sample = self._sample(history)
        alone = self._alone(model, sample)
        worker = None if stand is None else self._worker(stand, sample, like)
        if worker is None:
            self._screen.step("watching the input")
            time.sleep(max(since + _NOW_SECONDS - time.monotonic(), 0.0))
        now = arrivals.by_ends(before, history.bounds(parts), time.monotonic() - since)
        found = [*arrivals.by_timestamps(sample.batch.timestamps, now=int(time.time() * 1000)), now]
        if self._options.rate is not None:
            found.append(arrivals.Arrival(arrivals.Of.ASKED, self._options.rate))
        takes = None if worker is None else worker[0].rate
        share = sample.busiest[1]
        return Findings(
            inputs=list(like),
            partitions=len(parts),
            model=model.version,
            delivery=settings.delivery,
            sample=sample,
            alone=alone,
            worker=None if worker is None else worker[0],
            calm=None if worker is None else worker[1],
            lone=None if worker is None else worker[2],
            lines=[Line.of(one, takes=takes, partitions=len(parts), share=share) for one in found],
            notes=list(self._notes(sample, worker)),
        )

    def _model(self) -> LoadedModel:
        """The current model. Raises ModelError when there is none, or it cannot be used."""
        self._screen.step("loading the model")
        use_threads(self._settings.worker.threads)
        store = models.registry(self._settings)
        version = store.current()
        if version is None:
            raise ModelError(f"there is no model {store.model!r} yet to measure with: `aestream train` makes one")
        return models.load_model(self._settings, version)

    def _inputs(self) -> Mapping[str, TopicState]:
        found = clients.topics(self._settings).describe(self._settings.topics.input)
        for name, topic in found.items():
            refusal = topic.refusal("READ", clients.INPUT_REMEDY)
            if refusal is not None:
                raise TransportError(f"topic {name} {refusal}")
        if not found:
            raise TransportError(f"no topic matches {self._settings.topics.input[0]}: {clients.INPUT_REMEDY}")
        return found

    def _sample(self, history: History) -> Sample:
        wanted = self._options.records
        self._screen.step("reading the newest records", wanted)
        batches = self._screen.counted(history.read(records=wanted, period=None))
        return gather(batches, max_bytes=_SAMPLE_BYTES, seconds=_SAMPLE_SECONDS)

    def _alone(self, model: LoadedModel, sample: Sample) -> scoring.Scoring:
        self._screen.step("scoring alone", len(sample))
        chunks = sample.chunks(self._settings.worker.max_batch_records)
        return scoring.score(model.pipeline, chunks, self._screen.at)

    def _worker(
        self, stand: Stand, sample: Sample, like: Mapping[str, TopicState]
    ) -> tuple[Throughput, Latency | None, Latency | None]:
        """Measure a worker on topics of its own."""
        with contextlib.ExitStack() as used:
            partitions = self._create(stand, like)
            total = self._copy(stand, sample, partitions)
            worker, began = self._start(stand, used)
            taken = self._watch(worker, total, began)
            return (taken, *self._latencies(stand, sample, partitions, worker, used))

    def _create(self, stand: Stand, like: Mapping[str, TopicState]) -> int:
        where = ", ".join(stand.settings.kafka.bootstrap_servers)
        self._screen.say(
            f"making temporary topics {stand.name}-* and the group {stand.name} at {where}; all are deleted at the end"
        )
        self._screen.step("creating the temporary topics")
        with self._interrupts.held():
            self._stack.callback(self._remove, stand)
            return stand.create(like)

    def _remove(self, stand: Stand) -> None:
        self._screen.step("deleting the temporary topics and the group")
        try:
            stand.remove()
        except AestreamError as error:
            why = reference.in_variables(str(error))
            self._screen.say(f"the topics {stand.name}-* or the group {stand.name} could not be deleted: {why}")

    def _copy(self, stand: Stand, sample: Sample, partitions: int) -> int:
        """Copy the sample to the topic of the worker, as far as there is time for; return how many records it has."""
        wanted = max(self._options.records, len(sample))
        self._screen.step("copying", wanted)
        copied, deadline = 0, time.monotonic() + _COPY_SECONDS
        with self._sink(stand) as sink:
            for messages in sample.copies(stand.input, partitions, wanted, size=_COPY_RECORDS):
                sink.send(messages)
                while not sink.flush(1.0) and time.monotonic() < deadline:
                    pass
                copied += len(messages)
                self._screen.at(copied)
                if time.monotonic() >= deadline:
                    break
        total = sum(end - start for start, end in self._ends(stand, partitions).values())
        if not total:
            raise TransportError(f"the broker has accepted no record in {_COPY_SECONDS:.0f} s")
        return total

    @contextlib.contextmanager
    def _sink(self, stand: Stand) -> Iterator[Sink]:
        """A client that sends records as large as those of the input, at once."""
        described = clients.topics(stand.settings).describe([stand.input])[stand.input]
        given = stand.settings.kafka
        largest = max(given.max_request_size, described.max_bytes or 0)
        kafka = given.model_copy(update={"max_request_size": largest, "linger_ms": 0})
        sending = stand.settings.model_copy(update={"kafka": kafka})
        with contextlib.closing(clients.sink(sending, {}, patience=_ANSWER_SECONDS)) as sink:
            yield sink

    def _ends(self, stand: Stand, partitions: int) -> Mapping[Partition, tuple[int, int]]:
        parts = [Partition(stand.input, number) for number in range(partitions)]
        return clients.history(stand.settings, [stand.input]).bounds(parts)

    def _start(self, stand: Stand, used: contextlib.ExitStack) -> tuple[WorkerProcess, float]:
        http = stand.settings.http
        with self._interrupts.held():
            folder = Path(tempfile.mkdtemp(prefix="aestream-bench-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            worker = WorkerProcess(
                stand.environment, address=f"{http.host}:{http.port}", log_file=folder / "worker.log"
            )
            began = time.time()
            worker.start()
            self._stack.callback(worker.stop)
        used.callback(worker.stop)
        return worker, began

    def _watch(self, worker: WorkerProcess, total: int, began: float) -> Throughput:
        self._screen.step("a worker scores them", total)

        def look() -> Reading:
            worker.check()
            return Reading.of(worker.metrics(), time.time())

        return throughput.watch(total, look, self._screen.at, time.sleep, began=began)

    def _latencies(
        self, stand: Stand, sample: Sample, partitions: int, worker: WorkerProcess, used: contextlib.ExitStack
    ) -> tuple[Latency | None, Latency | None]:
        """None where no scores are published."""
        scores = stand.settings.topics.scores
        if scores is None:
            return None, None
        self._screen.step("latency at a calm rate", latency.CALM_RECORDS + latency.LONE_RECORDS)
        reader = latency.Reader(clients.history(stand.settings, [scores]))
        used.callback(reader.close)
        reader.start()
        ends = {part: end for part, (_, end) in self._ends(stand, partitions).items()}
        some: list[Outgoing] = list(sample.copies(stand.input, partitions, latency.CALM_RECORDS, size=1))

        def progress() -> None:
            worker.check()
            self._screen.advance()

        with self._sink(stand) as sink:
            found = latency.measure(latency.Sender(sink, some, ends), reader, progress)
        worker.check()
        return found

    def _notes(self, sample: Sample, worker: object) -> Iterator[str]:
        """What a person should know about the figures."""
        wanted = self._options.records
        if worker is not None and len(sample) < wanted:
            yield f"the sample has {len(sample):,} records: they were sent more than once, {wanted:,} in all"
        if worker is not None and self._settings.topics.scores is None:
            yield "AESTREAM_TOPICS__SCORES is off, so that no latency could be measured"
        if sys.platform != "linux":
            yield "CPU time and memory are known on Linux only"
