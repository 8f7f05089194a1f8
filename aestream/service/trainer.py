"""One retraining: sample, fit, calibrate, publish, promote; and the service that repeats it on a schedule."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aestream.artefact import FieldNote
from aestream.detector.detector import Detector
from aestream.errors import AestreamError, DataError
from aestream.inference.infer import Inference
from aestream.networks.progress import Progress
from aestream.registry.base import Registry
from aestream.sampling.held import Held
from aestream.sampling.sample import Sampler, fit
from aestream.service.metrics import TrainerMetrics
from aestream.service.movement import Movement
from aestream.service.schedule import Schedule, next_run
from aestream.service.service import Service

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 30.0  # between attempts while there is no model at all
_BEAT_SECONDS = 5.0
_REASON = "reason"  # in the metadata of a version that many moved entities have asked for


class Reporter:
    """Receives the progress of a training run. This one does nothing; the commands draw bars and tables."""

    def sampled(self, records: int, wanted: int) -> None:
        """`records` of the `wanted` records have been read."""

    def inferred(self, found: Inference) -> None:
        """The features are known."""

    def fitted(self, progress: Progress) -> None:
        """The fit took a step."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a training run."""

    version: str
    records: int
    invalid: Mapping[str, int]
    fields: Sequence[FieldNote]
    threshold: float
    warnings: Sequence[str]
    seconds: float
    decisions: Sequence[str]  # about records that follow each other
    covered: str = ""  # the span of time of the sample, in words; empty if it is not known
    held: Held | None = None  # the entities of the sample; None if nothing tells several apart


@dataclass
class Trainer:
    """Makes a new version of a model from a sample of the past."""

    sampler: Sampler
    registry: Registry
    detector: Callable[[], Detector]
    min_records: int
    reporter: Reporter = field(default_factory=Reporter)
    metadata: Mapping[str, Any] = field(default_factory=dict)  # for the manifest, beside what the run finds
    needed: Callable[[], Collection[str]] = tuple  # old versions that the store is to keep
    sign: Callable[[Path], None] = lambda _folder: None  # the files of a new version, before it is published

    def run(self, reason: str | None = None) -> Run:
        """Train once, publish the version and make it the current one.

        `reason` goes into its manifest: why the schedule was not waited for.

        Raises DataError when there is nothing to learn from the sample, TransportError when it cannot be read, and
        ModelError when the store cannot be written. The current version then stays in use.
        """
        started = time.monotonic()
        sample = self.sampler.sample(progress=self.reporter.sampled)
        self.reporter.inferred(sample.inference)
        if len(sample.matrix) < self.min_records:
            bad = (
                f" ({sum(sample.invalid.values())} more cannot be used: {dict(sample.invalid)})"
                if sample.invalid
                else ""
            )
            raise DataError(
                f"{len(sample.matrix)} usable records are too few to train on{bad}: wait for more, or lower "
                f"`min_records` ({self.min_records})"
            )
        detector = fit(self.detector(), sample, self.reporter.fitted)
        held = Held.of(sample, detector)
        lacking = () if held is None else held.warnings
        warnings = [*sample.inference.review.warnings, *sample.warnings, *lacking, *detector.warnings]
        facts = {
            "records": len(sample.matrix),
            "invalid": dict(sample.invalid),
            "warnings": warnings,
            **sample.origin,
            **self.metadata,
            **({_REASON: reason} if reason is not None else {}),
        }

        def write(folder: Path) -> None:
            detector.save(folder, facts)
            self.sign(folder)

        version = self.registry.publish(write)
        self.registry.promote(version)
        self.registry.prune(self.needed)
        return Run(
            version,
            len(sample.matrix),
            sample.invalid,
            sample.inference.notes,
            detector.threshold,
            warnings,
            time.monotonic() - started,
            detector.decisions,
            sample.covered,
            held,
        )


class TrainerService:
    """Repeats the training on a schedule until stopped, even if a run fails."""

    def __init__(
        self,
        trainer: Trainer,
        schedule: Schedule,
        *,
        metrics: TrainerMetrics,
        service: Service,
        movement: Movement | None = None,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._trainer = trainer
        self._schedule = schedule
        self._metrics = metrics
        self._service = service
        self._movement = movement
        self._now = now
        self._asked = False
        self._reason: str | None = None  # of the next run, where entities have moved
        self._told = False  # whether the log says that another run follows this one

    def train_now(self) -> None:
        """Ask for a run now, or for one more after the run that is under way. A signal handler may call this."""
        self._asked = True

    def run(self) -> None:
        """Train when due: at once without a model or after a missed run, then on schedule, or when asked to.

        A stop ends a training run at its next step; that run publishes nothing.
        """
        self._trainer.reporter = _BetweenSteps(self._trainer.reporter, self._check)
        self._service.started("training on a schedule")
        self._service.wait_for(None)
        last = self._last_run()
        if last is not None:
            self._metrics.trainer_last_success.set(last.timestamp())
        due = next_run(self._schedule, last=last, now=self._now())
        while True:
            if not self._asked:
                when = f"at {due.isoformat(timespec='seconds')}" if due else "only when asked for: the schedule is off"
                _log.info("next training %s", when)
            if self._sleep_until(due):
                break
            try:
                succeeded = self._train()
            except _StoppedError:
                break
            now = self._now()
            due = next_run(self._schedule, last=now, now=now)
            if due is not None and not succeeded and not self._has_model():
                due = min(due, now + datetime.timedelta(seconds=_RETRY_SECONDS))
        self._service.stopping()

    def _last_run(self) -> datetime.datetime | None:
        """When the newest promoted version was trained; None if the store has no current version that can be used.

        Also tells `movement` if moved entities asked for it.

        An unpromoted version does not count: its run was killed. A version that was rolled back from does count, so
        that a restart does not undo the rollback before the next run is due.
        """
        try:
            current, versions = self._trainer.registry.current(), self._trainer.registry.versions()
            if current is None:
                return None
            if current not in {version.name for version in versions}:
                _log.warning("the current model %s is missing or damaged: training a new one now", current)
                return None
            last = [v.manifest for v in versions if v.promoted or v.name == current][-1]
        except AestreamError as error:
            _log.warning("the time of the last training cannot be read from the model store: %s", error)
            return None
        if self._movement is not None and _REASON in last.metadata:
            self._movement.asked_before(last.created)
        return last.created

    def _has_model(self) -> bool:
        """Whether the current version exists with its manifest; a store that cannot be read counts as empty."""
        store = self._trainer.registry
        try:
            return store.current() in {version.name for version in store.versions()}
        except AestreamError:
            return False

    def _sleep_until(self, due: datetime.datetime | None) -> bool:
        """Sleep in short steps, to keep the watchdog informed, until a run is due or asked for. True: stop."""
        while True:
            self._service.beat()
            if self._asked:
                _log.info("training now because a reload asked for it")
                return False
            self._reason = self._moved()
            if self._reason is not None:
                _log.info("%s: training again", self._reason)
                return False
            due = self._not_later(due)
            left = _BEAT_SECONDS if due is None else (due - self._now()).total_seconds()
            if self._service.stop.wait(max(0.0, min(left, _BEAT_SECONDS))):
                return True
            if due is not None and self._now() >= due:
                return False

    def _not_later(self, due: datetime.datetime | None) -> datetime.datetime | None:
        """Bring a run forward that is further away than the schedule ever lets it be: the clock was set back."""
        latest = self._schedule(self._now())
        if due is None or latest is None or due <= latest:
            return due
        _log.warning("the clock was set back: next training at %s", latest.isoformat(timespec="seconds"))
        return latest

    def _moved(self) -> str | None:
        """Why moved entities ask for a training, in words; None if they do not."""
        if self._movement is None:
            return None
        try:
            version = self._trainer.registry.current()
        except AestreamError:
            return None
        found = self._movement.reason(version, self._now())
        self._service.beat()  # Kafka may have been slow to answer
        return found

    def _train(self) -> bool:
        """Run once. A failure is logged and counted, and leaves the current model in use."""
        started = time.monotonic()
        self._asked = self._told = False  # a request from here on is for a run that begins later
        reason, self._reason = self._reason, None
        try:
            run = self._trainer.run(reason)
        except AestreamError as error:
            _log.error("training failed, %s: %s", self._consequence(), error)
            outcome = "failed"
        except _StoppedError:
            _log.info("training cancelled: the service was asked to stop")
            raise
        except Exception:  # noqa: BLE001 - the service outlives any single run
            _log.exception("training failed because of a bug in aestream, %s", self._consequence())
            outcome = "failed"
        else:
            covering = f" that cover {run.covered}" if run.covered else ""
            model = self._trainer.registry.model
            _log.info("model %s@%s trained on %d records%s", model, run.version, run.records, covering)
            if run.held is not None:
                _log.info("the sample holds %s", run.held)
            for warning in run.warnings:
                _log.warning("%s", warning)
            self._metrics.trainer_last_success.set_to_current_time()
            outcome = "success"
        if self._movement is not None and reason is not None and outcome != "success":
            self._movement.failed()
        self._metrics.trainer_runs.labels(outcome).inc()
        self._metrics.trainer_duration.observe(time.monotonic() - started)
        return outcome == "success"

    def _check(self) -> None:
        """Check for signals in the middle of a run."""
        if self._service.stop.wait(0):
            raise _StoppedError
        if self._asked and not self._told:
            self._told = True
            _log.info("a reload asked for training during a training run: another run follows")

    def _consequence(self) -> str:
        return "the current model stays" if self._has_model() else "there is still no model"


class _StoppedError(Exception):
    """The service was asked to stop while it trains."""


class _BetweenSteps(Reporter):
    """Passes progress on, and calls `check` before each step, which may end the run."""

    def __init__(self, reporter: Reporter, check: Callable[[], None]) -> None:
        self._reporter = reporter
        self._check = check

    def sampled(self, records: int, wanted: int) -> None:
        self._check()
        self._reporter.sampled(records, wanted)

    def inferred(self, found: Inference) -> None:
        self._reporter.inferred(found)

    def fitted(self, progress: Progress) -> None:
        self._check()
        self._reporter.fitted(progress)
