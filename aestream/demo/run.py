"""The demo: the whole pipeline, with the same code and commands as in production."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from aestream.app import clients, terminal, topics, trainer
from aestream.app.follower import Follower
from aestream.app.interrupts import Interrupts
from aestream.app.process import WorkerProcess
from aestream.demo import feed as feeds
from aestream.demo import stage, stream
from aestream.demo import summary as report
from aestream.demo.brokers import EmbeddedKafka
from aestream.demo.feed import Feed
from aestream.demo.live import LiveView, PlainView, Progress, View
from aestream.demo.results import Results
from aestream.demo.stage import Stage
from aestream.demo.verdict import Finding, Summary, judge
from aestream.detector.training import learner
from aestream.errors import AestreamError, ConfigurationError
from aestream.networks.threads import use_threads
from aestream.service import log
from aestream.settings import reference
from aestream.transport.base import Sink

_DEFAULT_SECONDS = 15.0  # for the whole stream, unless a rate is given
_SLOWEST_DEFAULT = 100.0  # records/s
_TICK_SECONDS = 0.01
_LOOK_SECONDS = 1.0  # between looks at the worker
_STALLED_SECONDS = 30.0
_MOST_NAMES = 10


def run(options: argparse.Namespace) -> int:
    """Run the demo; return the exit code: 0 success, 1 a record was lost, 130 or 143 interrupted.

    Raises AestreamError when something cannot be used. In any case, nothing that was started is left behind.
    """
    began = time.monotonic()
    _need_packages(options)
    user = stage.user_settings(options)
    log.setup(style="plain", level="warning")
    use_threads(user.worker.threads)
    feed = feeds.load(options.data, options.label, options.interval).limited(options.limit)
    with Interrupts() as interrupts:
        stack = contextlib.ExitStack()
        try:
            try:
                return _Demo(options, feed, interrupts, stack, began).run()
            finally:
                interrupts.ignore()
        except KeyboardInterrupt:
            terminal.console.print("stopping", highlight=False)
            return interrupts.exit_code
        finally:
            interrupts.ignore()
            stack.close()


class _Demo:
    """The steps of the demo. Whatever is started goes onto `stack` at once, which ends it all in reverse order."""

    def __init__(
        self,
        options: argparse.Namespace,
        feed: Feed,
        interrupts: Interrupts,
        stack: contextlib.ExitStack,
        began: float,
    ) -> None:
        self._options = options
        self._feed = feed
        self._interrupts = interrupts
        self._stack = stack
        self._began = began
        self._console = terminal.console

    def run(self) -> int:
        """Broker, topics, training part, model, worker, test part, verdict; return the exit code."""
        feed = self._feed
        self._introduce()
        here = self._set_up()
        sink = self._open_sink(here)
        stream.write(sink, here.topics["input"], feed)
        self._step(3, f"wrote the training part to {here.topics['input']}; now training on that topic")
        model = self._train(here)
        worker, follower = self._start_worker(here)
        results = Results(feed.test.owner, first=len(feed.train), topics=here.topics)
        streamer = stream.Streamer(sink, here.topics["input"], feed, feed.test, rate=self._rate())
        with self._view(results) as view:
            self._stream(streamer, follower, worker, results, view)
        summary, findings = judge(feed, results, sent=streamer.sent, seconds=time.monotonic() - self._began)
        self._conclude(summary, findings, results, model)
        self._look_around(here, worker)
        return 1 if summary.lost else 0

    def _introduce(self) -> None:
        """Say what will be sent."""
        feed = self._feed
        entities = ", ".join(feed.entities) if len(feed.entities) <= _MOST_NAMES else f"{len(feed.entities)} entities"
        self._say(
            f"{feed.source}, keyed by entity ({entities}): {len(feed.train)} records to train on, {len(feed.test)} to "
            f"stream, {len(feed.names)} features, {len(feed.cases)} labelled incidents"
        )
        if feed.left_out:
            self._say(f"not sent, because they are not numbers: {', '.join(feed.left_out)}")
        if not feed.timed:
            self._say(f"the files do not say when: a row every {feeds.USUAL_INTERVAL:.0f} s is assumed (--interval)")

    def _set_up(self) -> Stage:
        """Start the broker, unless one is given, and create the topics."""
        asked = self._options.bootstrap_servers
        with self._interrupts.held():
            bootstrap = asked or self._stack.enter_context(EmbeddedKafka(start_timeout=20.0)).bootstrap
            folder = Path(tempfile.mkdtemp(prefix="aestream-demo-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._step(1, f"Kafka at {bootstrap}" if asked else f"embedded Kafka broker at {bootstrap}")
        here = stage.prepare(self._options, bootstrap=bootstrap, folder=folder, time=self._feed.time_field)
        if asked and not self._options.keep:
            self._stack.callback(self._remove_topics, here)
        made, _ = topics.create(here.settings, partitions=1, replication=-1, with_input=True)
        self._step(2, f"topics {', '.join(made)}")
        return here

    def _open_sink(self, here: Stage) -> Sink:
        with self._interrupts.held():
            sink = clients.sink(here.settings, limits={})
            self._stack.callback(sink.close)
        return sink

    def _train(self, here: Stage) -> str:
        """The same as `aestream train`; return the model's name and version."""
        with terminal.TrainingReport(self._console) as bars:
            run = trainer.trainer(here.settings, bars).run()
        for note in run.fields:
            if not note.used:
                self._say(f"left out {note.name}: {note.reason}")
        terminal.version(run, here.settings.model.name)
        for decision in run.decisions:
            self._say(decision)
        return f"{here.settings.model.name}@{run.version}"

    def _start_worker(self, here: Stage) -> tuple[WorkerProcess, Follower]:
        """Start the worker and begin to read its results; return when both are ready."""
        http = here.settings.http
        worker = WorkerProcess(
            here.environment, address=f"{http.host}:{http.port}", log_file=here.folder / "worker.log"
        )
        history = clients.history(here.settings, [name for role, name in here.topics.items() if role != "input"])
        with self._interrupts.held():
            worker.start()
            self._stack.callback(worker.stop)
            follower = Follower(lambda: history.follow(last=0)).start()
            self._stack.callback(follower.close)
        self._step(4, f"started the worker as a separate process, the same as: {here.command('worker')}")
        worker.wait_until_ready()
        follower.wait_until_reading()
        self._step(5, f"streaming the test part; metrics at {worker.url}/metrics")
        return worker, follower

    def _stream(
        self, streamer: stream.Streamer, follower: Follower, worker: WorkerProcess, results: Results, view: View
    ) -> None:
        """Send the test part and collect the answers, until all have arrived or none has come for too long."""
        total = len(self._feed.test)
        looked, lag = 0.0, None
        answered, moved = 0, time.monotonic()
        while results.answered < total:
            self._interrupts.check()
            now = time.monotonic()
            if not streamer.done:
                streamer.advance()
                moved = now
                if streamer.done:
                    streamer.flush()
            for batch in follower.take():
                for news in results.add(batch):
                    view.tell(news)
            if results.answered > answered:
                answered, moved = results.answered, now
            if now - looked > _LOOK_SECONDS:
                worker.check()
                looked, lag = now, worker.lag()
            view.update(Progress(streamer.sent, lag))
            if now - moved > _STALLED_SECONDS:
                self._say(f"no answer for {_STALLED_SECONDS:.0f} s; {total - answered} records are unanswered")
                return
            time.sleep(_TICK_SECONDS)

    def _conclude(self, summary: Summary, findings: Sequence[Finding], results: Results, model: str) -> None:
        """Print and write the summary, and draw the plot."""
        from aestream.demo import plot  # noqa: PLC0415 - needs the extra `demo`

        report.show(self._console, self._feed, summary, findings)
        if self._options.summary is not None:
            report.write(self._options.summary, summary)
            self._say(f"summary: {self._options.summary}")
        plot.draw(self._options.plot, self._feed, results, summary, findings, model=model)
        self._say(f"plot: {self._options.plot.resolve()}")

    def _look_around(self, here: Stage, worker: WorkerProcess) -> None:
        """Print where everything is; with --keep, keep it running until Ctrl-C."""
        if not self._options.keep:
            self._say(f"metrics were at {worker.url}/metrics; use --keep to keep worker and broker running")
            return
        self._say(f"worker and broker keep running. Metrics: {worker.url}/metrics")
        self._say(
            f"Kafka: {','.join(here.settings.kafka.bootstrap_servers)}, topics: {', '.join(here.topics.values())}"
        )
        self._say(f"to see the anomalies: {here.command('tail')}")
        self._say("Ctrl-C stops everything")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self._interrupts.check()
                worker.check()
                time.sleep(_LOOK_SECONDS)
        self._say("stopping")

    def _remove_topics(self, here: Stage) -> None:
        """Leave a Kafka that is not ours as we found it."""
        try:
            clients.topics(here.settings).delete(here.created, group_id=here.settings.kafka.group_id)
        except AestreamError as error:
            why = reference.in_variables(str(error))
            self._say(f"the topics {', '.join(here.created)} were not deleted: {why}")

    def _rate(self) -> float:
        if self._options.rate is not None:
            rate: float = self._options.rate
            return rate
        return max(len(self._feed.test) / _DEFAULT_SECONDS, _SLOWEST_DEFAULT)

    def _view(self, results: Results) -> View:
        plain = self._options.no_live or not self._console.is_terminal
        return (PlainView if plain else LiveView)(self._console, self._feed, results)

    def _step(self, number: int, text: str) -> None:
        self._say(f"{number}. {text}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _need_packages(options: argparse.Namespace) -> None:
    """Raise ConfigurationError when the extra `demo`, which brings `train`, is not installed."""
    needed = {"matplotlib": "matplotlib", "noida_db": "noida-db"}
    if options.bootstrap_servers:
        del needed["noida_db"]
    missing = [package for module, package in needed.items() if util.find_spec(module) is None]
    if missing:
        raise ConfigurationError(
            f"the demo needs {' and '.join(missing)}: pip install '.[demo]' in your clone of the project"
        )
    learner()
