"""Turns settings into the trainer: one retraining, and the service that repeats it."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from aestream.app import clients, models, samplers
from aestream.app.service import surrounded
from aestream.app.validate import check_configuration
from aestream.detector.training import learner
from aestream.errors import AestreamError, ConfigurationError
from aestream.inference.infer import Inference
from aestream.networks.progress import Progress
from aestream.service import schedule
from aestream.service.metrics import TrainerMetrics
from aestream.service.movement import Movement
from aestream.service.service import Service
from aestream.service.trainer import Reporter, Trainer, TrainerService
from aestream.settings.settings import Settings

_log = logging.getLogger(__name__)

_STALE_SECONDS = 600.0


def trainer(settings: Settings, reporter: Reporter, file: Path | None = None) -> Trainer:
    """One retraining, from the input topics or from a file. Raises ConfigurationError when torch is not installed."""
    learner()  # now, rather than when the records have been read
    sampler, store = samplers.sampler(settings, file, settings.topics.input), models.registry(settings)
    return Trainer(
        sampler,
        store,
        lambda: models.new_detector(settings),
        settings.trainer.min_records,
        reporter,
        metadata={"layout": settings.records.model_dump()},
        needed=partial(_needed, settings) if settings.topics.input else tuple,
        sign=models.signer(settings),
    )


def _needed(settings: Settings) -> set[str]:
    """The versions that the workers' commits name. None where these cannot be read."""
    try:
        found = clients.topics(settings).standings(clients.group_id(settings))
    except AestreamError as error:
        _log.warning("which versions the workers use is not known, so only the newest are kept: %s", error)
        return set()
    return {version for standing in found.values() for version in standing.versions}


def run_trainer(settings: Settings) -> None:
    """The trainer as a service: HTTP, schedule, signals. Raises ConfigurationError before it begins."""
    check_configuration(settings, group=False)
    models.signer(settings)
    learner()
    when = schedule.parse(settings.trainer.schedule)
    with surrounded(settings, TrainerMetrics, stale_after=_STALE_SECONDS) as (metrics, service):
        work = TrainerService(
            trainer(settings, _Beats(service)), when, metrics=metrics, service=service, movement=_movement(settings)
        )
        service.stop.listen(reload=work.train_now)
        work.run()


def _movement(settings: Settings) -> Movement | None:
    """What says that entities have moved; None where nobody asks for it, or nothing could tell it."""
    if settings.trainer.on_moved is None or settings.features.window == 1:
        return None
    try:
        group = clients.group_id(settings)
    except ConfigurationError as error:
        _log.warning("whether entities have moved is not known, so the schedule alone counts: %s", error)
        return None
    topics = clients.topics(settings)
    return Movement(lambda: topics.standings(group), share=settings.trainer.on_moved)


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
