"""Turns settings into the trainer: one retraining, and the service that repeats it."""

from __future__ import annotations

import logging
from pathlib import Path

from aestream.app import models, samplers
from aestream.app.service import surrounded
from aestream.app.validate import check_configuration
from aestream.inference.infer import Inference
from aestream.models.fit import Progress
from aestream.models.threads import use_threads
from aestream.service import schedule
from aestream.service.metrics import TrainerMetrics
from aestream.service.service import Service
from aestream.service.trainer import Reporter, Trainer, TrainerService
from aestream.settings.settings import Settings

_log = logging.getLogger(__name__)

_STALE_SECONDS = 600.0


def trainer(settings: Settings, reporter: Reporter, file: Path | None = None) -> Trainer:
    """One retraining, from the input topics or from a file."""
    use_threads(models.TRAINING_THREADS)
    sampler, store = samplers.sampler(settings, file, settings.topics.input), models.registry(settings)
    return Trainer(
        sampler,
        store,
        lambda: models.new_detector(settings),
        settings.trainer.min_records,
        reporter,
        metadata={"layout": settings.records.model_dump()},
    )


def run_trainer(settings: Settings) -> None:
    """The trainer as a service: HTTP, schedule, signals. Raises ConfigurationError before it begins."""
    check_configuration(settings, group=False)
    when = schedule.parse(settings.trainer.schedule)
    with surrounded(settings, TrainerMetrics, stale_after=_STALE_SECONDS) as (metrics, service):
        work = TrainerService(trainer(settings, _Beats(service)), when, metrics=metrics, service=service)
        service.stop.listen(reload=work.train_now)
        work.run()


class _Beats(Reporter):
    """Keeps the probes and the watchdog quiet while a training run makes progress."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def sampled(self, records: int, wanted: int) -> None:  # noqa: ARG002
        self._service.beat()

    def inferred(self, found: Inference) -> None:
        used = [note.name for note in found.notes if note.used]
        _log.info("%d features: %s", len(used), ", ".join(used))
        for note in found.notes:
            if not note.used:
                _log.info("left out %s: %s", note.name, note.reason)

    def fitted(self, progress: Progress) -> None:  # noqa: ARG002
        self._service.beat()
