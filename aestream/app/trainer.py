"""Turns settings into the trainer: one retraining, and the service that repeats it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from aestream.app import models, samplers
from aestream.app.service import surrounded
from aestream.app.validate import check_configuration
from aestream.features.schema import FeatureSchema, LeftOut
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
    return Trainer(sampler, store, lambda: models.new_detector(settings), settings.trainer.min_records, reporter)


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

    def inferred(self, schema: FeatureSchema, left_out: Sequence[LeftOut]) -> None:
        _log.info("%d features: %s", len(schema), ", ".join(schema.names))
        for item in left_out:
            _log.info("left out %s: %s", item.name, item.reason)

    def fitted(self, progress: Progress) -> None:  # noqa: ARG002
        self._service.beat()
