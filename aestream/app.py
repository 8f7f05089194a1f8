"""The composition root: the only code that turns Settings into objects."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

import aestream
from aestream import clients, topics
from aestream.codecs.json import JsonDecoder
from aestream.detector.detector import Detector
from aestream.errors import ConfigurationError, ModelError
from aestream.features.inference import infer_schema, inspect
from aestream.features.schema import FeatureSchema, LeftOut
from aestream.messages.dead_letters import InvalidLimits
from aestream.messages.scores import Renderer
from aestream.models.fit import Progress
from aestream.models.threads import use_threads
from aestream.pipeline import Pipeline
from aestream.proposal import propose
from aestream.registry.fallback import fall_back
from aestream.registry.local import LocalRegistry
from aestream.registry.watcher import Watcher
from aestream.sampling import Choose, FileSampler, TopicSampler
from aestream.service import log, schedule, systemd
from aestream.service.health import Health, HttpServer
from aestream.service.membership import GroupWatch
from aestream.service.metrics import Metrics, TrainerMetrics, WorkerMetrics
from aestream.service.reloads import Reloads
from aestream.service.stop import Stop
from aestream.service.trainer import Reporter, Trainer, TrainerService
from aestream.service.worker import LoadedModel, Worker
from aestream.settings import reference
from aestream.settings.settings import PREFIX, Settings
from aestream.transport.base import Source
from aestream.types import Batch

_log = logging.getLogger(__name__)

_Metrics = TypeVar("_Metrics", bound=Metrics)

_WORKER_STALE_SECONDS = 60.0
_TRAINER_STALE_SECONDS = 600.0


def check_configuration(settings: Settings, *, group: bool = True) -> None:
    """What a single setting cannot tell; `group`: with what only a member of the group needs.

    Raises ConfigurationError.
    """
    topics.need_input(settings)
    clients.check(settings)
    if group:
        clients.group_id(settings)
    schedule.parse(settings.trainer.schedule)
    registry(settings)


def registry(settings: Settings) -> LocalRegistry:
    """The model store."""
    if "://" in settings.model.store:
        raise ConfigurationError(f"AESTREAM_MODEL__STORE: {settings.model.store!r} is no folder: give a path")
    return LocalRegistry(Path(settings.model.store), settings.model.name, keep=settings.model.keep)


def load_detector(settings: Settings) -> Detector:
    """The current model. Raises ModelError when there is none that can be used: no other one is taken in its place."""
    use_threads(settings.worker.threads)
    store = registry(settings)
    version = store.current()
    if version is None:
        raise ModelError(
            f"there is no model {settings.model.name!r} in {settings.model.store}: `aestream train` makes one"
        )
    try:
        return Detector.load(store.open(version))
    except ModelError as error:
        older = fall_back(store, version, lambda name: Detector.load(store.open(name)))
        way = f"`aestream model rollback {older[0]}` goes back to one that can" if older else "nor can an older one"
        raise ModelError(f"the current model {store.model}@{version} cannot be used, {way}: {error}") from error


def load_for_use(settings: Settings) -> Detector:
    """The current model, to encode and denoise with.

    Raises ModelError when there is none, ConfigurationError when it was trained for another latent size or noise.
    """
    detector = load_detector(settings)
    for name in ("latent_size", "noise"):
        wanted, has = getattr(settings.model, name), getattr(detector.options, name)
        if wanted not in {None, has}:
            raise ConfigurationError(
                f"{name} {wanted} is asked for, and the model {settings.model.name!r} was trained with {has}: "
                f"`aestream train --{name.replace('_', '-')} {wanted}` makes one, or name a file to learn from by --fit"
            )
    return detector


def fit_detector(settings: Settings, file: Path) -> Detector:
    """A detector fitted on a file, kept nowhere. Raises DataError when the file cannot teach anything."""
    use_threads(settings.worker.threads)
    sample = _file_sampler(settings, file).sample(progress=lambda _records, _wanted: None)
    return new_detector(settings).fit_matrix(sample.matrix, sample.schema)


def follow_anomalies(settings: Settings, last: int) -> Iterator[Batch]:
    """The anomalies topic from `last` records before its end, for ever."""
    return clients.history(settings, [settings.topics.anomalies], topics.RESULT_REMEDY).follow(last=last)


def new_detector(settings: Settings) -> Detector:
    """A detector to be fitted."""
    asked = "false_alarm_rate" in settings.threshold.model_fields_set
    return Detector(
        false_alarm_rate=settings.threshold.false_alarm_rate if asked else None,
        calibrator=settings.threshold.calibrator,
        latent_size=settings.model.latent_size,
        noise=settings.model.noise,
        memory=settings.model.memory,
        seed=settings.model.seed,
        missing=",".join(settings.features.missing),
        timestamps=settings.features.timestamps,
        direction=settings.features.direction,
        min_abs_deviation=settings.features.min_abs_deviation,
        min_rel_deviation=settings.features.min_rel_deviation,
    )


def decoder(settings: Settings, schema: FeatureSchema) -> JsonDecoder:
    """The codec for the features of a model."""
    return JsonDecoder(schema.paths, schema.columns, max_record_bytes=settings.worker.max_record_bytes)


def trainer(settings: Settings, reporter: Reporter, file: Path | None = None) -> Trainer:
    """One retraining, from the input topics or from a file."""
    use_threads(settings.worker.threads)
    sampler = _sampler(settings, file, settings.topics.input)
    return Trainer(sampler, registry(settings), lambda: new_detector(settings), settings.trainer.min_records, reporter)


def proposed_configuration(settings: Settings, file: Path | None, topic: str | None) -> str:
    """A commented configuration from what a file or a topic (or else the input topics) holds."""
    names = [topic] if topic else settings.topics.input
    records = _sampler(settings, file, names).documents()
    chosen = {**_inference(settings), "missing": ["impute"]}
    in_force = dict(line.split("=", 1) for line in reference.in_force(settings))
    connection = {
        setting.variable: in_force[setting.variable]
        for setting in reference.describe()
        if setting.dotted == "kafka.bootstrap_servers"
        or (setting.dotted.startswith("kafka.") and in_force[setting.variable] != setting.default)
    }
    connection[f"{PREFIX}TOPICS__INPUT"] = ",".join(names)
    return propose(
        inspect(records, **chosen),
        source=file.name if file else f"topic {', '.join(names)}",
        records=len(records),
        connection={name: "" if value.startswith("***") else value for name, value in connection.items()},
    )


def _sampler(settings: Settings, file: Path | None, names: Sequence[str]) -> FileSampler | TopicSampler:
    """Where records are to be had: a file, or the past of topics."""
    if file is not None:
        return _file_sampler(settings, file)
    if not names:
        topics.need_input(settings)
    return TopicSampler(
        clients.history(settings, names),
        lambda schema: decoder(settings, schema),
        records=settings.trainer.sample_records,
        period=settings.trainer.sample_period,
        choose=_choose(settings),
    )


def _choose(settings: Settings) -> Choose:
    """How the features are told from records."""
    return partial(infer_schema, **_inference(settings))


def _inference(settings: Settings) -> dict[str, Any]:
    """What the settings say of the choice of features; the rest is about their deviations."""
    return settings.features.model_dump(include={"include", "exclude", "timestamps", "missing"})


def _file_sampler(settings: Settings, file: Path) -> FileSampler:
    return FileSampler(
        file,
        records=settings.trainer.sample_records,
        max_record_bytes=settings.worker.max_record_bytes,
        choose=_choose(settings),
    )


def run_trainer(settings: Settings) -> None:
    """The trainer as a service: HTTP, schedule, signals. Raises ConfigurationError before it begins."""
    check_configuration(settings, group=False)
    stop = Stop()
    when = schedule.parse(settings.trainer.schedule)
    with _service(settings, TrainerMetrics, stale_after=_TRAINER_STALE_SECONDS) as (metrics, health):
        work = trainer(settings, _Beats(health))
        service = TrainerService(work, when, metrics=metrics, health=health, wait=stop.wait)
        stop.listen(reload=service.train_now)
        service.run()


def run_worker(settings: Settings) -> None:
    """The worker as a service: HTTP, model watcher, loop, signals. Raises ConfigurationError before it begins."""
    check_configuration(settings)
    use_threads(settings.worker.threads)
    stop = Stop()
    with _service(settings, WorkerMetrics, stale_after=_WORKER_STALE_SECONDS) as (metrics, health):
        metrics.inference_threads.set(settings.worker.threads)
        watcher = Watcher(
            registry(settings),
            lambda version: load_model(settings, version),
            interval=settings.model.poll_interval,
            listener=Reloads(settings.model.name, metrics),
        )
        stop.listen(reload=watcher.look_now)
        Worker(
            open_source=lambda: _open_source(settings, metrics),
            open_sink=lambda: clients.sink(settings, topics.surveyed(settings).limits),
            group=GroupWatch(
                session_timeout=settings.kafka.session_timeout_ms / 1000,
                max_poll_interval=settings.kafka.max_poll_interval_ms / 1000,
            ),
            watcher=watcher,
            limits=InvalidLimits(
                max_ratio=settings.dead_letters.max_invalid_ratio,
                max_consecutive=settings.dead_letters.max_consecutive_count,
            ),
            dead_letters_topic=settings.topics.dead_letters,
            metrics=metrics,
            health=health,
            stop=stop,
            drain_timeout=settings.worker.drain_timeout,
        ).run()


def _open_source(settings: Settings, metrics: WorkerMetrics) -> Source:
    """The worker's input, opened last: its work begins, and the Kafka client is heard from here on."""
    opened = clients.source(settings, metrics)
    log.hear_client("warning")
    return opened


def load_model(settings: Settings, version: str) -> LoadedModel:
    """A version from the store with the pipeline around it. Raises ModelError when it cannot be used."""
    folder = registry(settings).open(version)
    detector = Detector.load(folder)
    try:
        manifest = (folder / "manifest.json").read_bytes()
        created = datetime.datetime.fromisoformat(json.loads(manifest)["created"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}/manifest.json does not say when it was made: train again or roll back") from error
    return LoadedModel(
        pipeline=pipeline(settings, detector, version),
        version=f"{settings.model.name}@{version}",
        sha256=hashlib.sha256(manifest).hexdigest(),
        trained=created.timestamp(),
        threshold=detector.threshold,
    )


def pipeline(settings: Settings, detector: Detector, version: str) -> Pipeline:
    """The way from bytes to messages for one model."""
    renderer = Renderer(
        model=f"{settings.model.name}@{version}",
        threshold=detector.threshold,
        names=detector.schema.names,
        scores_topic=settings.topics.scores,
        anomalies_topic=settings.topics.anomalies,
        headers=settings.output.headers,
    )
    return Pipeline(
        detector,
        decoder(settings, detector.schema),
        renderer,
        top_features=settings.output.top_features,
        latent=settings.output.latent,
        reconstruction=settings.output.reconstruction,
    )


@contextmanager
def _service(
    settings: Settings, role: Callable[[CollectorRegistry], _Metrics], *, stale_after: float
) -> Iterator[tuple[_Metrics, Health]]:
    """Metrics, probes and the HTTP server around a service; log lines at both ends."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    metrics = role(collectors)
    metrics.build_info.labels(aestream.__version__).set(1)
    health = Health(stale_after=stale_after)
    metrics.ready.set_function(lambda: health.ready()[0])
    server = HttpServer(
        settings.http.host,
        settings.http.port,
        health=health,
        registry=collectors,
        version=aestream.__version__,
    )
    _log.info("aestream %s, metrics at http://%s/metrics", aestream.__version__, server.address)
    for name in reference.unknown_variables(os.environ):
        _log.warning("%s is no setting and is ignored; `aestream config` lists all", name)
    try:
        yield metrics, health
    finally:
        server.close()


class _Beats(Reporter):
    """Keeps the probes and the watchdog quiet while a training run makes progress."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def sampled(self, records: int, wanted: int) -> None:  # noqa: ARG002
        self._beat()

    def inferred(self, schema: FeatureSchema, left_out: Sequence[LeftOut]) -> None:
        _log.info("%d features: %s", len(schema), ", ".join(schema.names))
        for item in left_out:
            _log.info("left out %s: %s", item.name, item.reason)

    def fitted(self, progress: Progress) -> None:  # noqa: ARG002
        self._beat()

    def _beat(self) -> None:
        self._health.beat()
        systemd.notify("WATCHDOG=1")
