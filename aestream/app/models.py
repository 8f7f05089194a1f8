"""Turns settings into models: the store, a detector to be fitted, and a version ready to use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from aestream import signature
from aestream.app import samplers
from aestream.detector.detector import Detector
from aestream.detector.training import learner
from aestream.errors import ConfigurationError, ModelError
from aestream.features.roles import Roles
from aestream.messages.scores import Renderer
from aestream.networks.threads import use_threads
from aestream.pipeline import LoadedModel, Pipeline
from aestream.registry.base import Registry
from aestream.registry.fallback import fall_back
from aestream.registry.local import LocalRegistry
from aestream.sampling.sample import fit
from aestream.settings import reference
from aestream.settings.settings import Settings
from aestream.settings.values import without_passwords
from aestream.signature import PublicKey

if TYPE_CHECKING:
    from aestream.sampling.file import FileSampler


def registry(settings: Settings) -> Registry:
    """The model store."""
    if "://" in settings.model.store:
        shown = without_passwords(settings.model.store)
        raise ConfigurationError(f"AESTREAM_MODEL__STORE: {shown!r} is not a folder: give a path")
    return LocalRegistry(Path(settings.model.store), settings.model.name, keep=settings.model.keep)


def verify_key(settings: Settings) -> PublicKey | None:
    """The key that must have signed a model; None if unsigned ones will do. Raises ConfigurationError."""
    path = settings.model.verify_keyfile
    return None if path is None else signature.public_key(path)


def signer(settings: Settings) -> Callable[[Path], None]:
    """What signs the files of a new version; it does nothing without a key. Raises ConfigurationError."""
    path = settings.model.signing_keyfile
    if path is None:
        return lambda _folder: None
    key = signature.private_key(path)
    return lambda folder: signature.sign(folder, key, settings.model.name)


def promote(settings: Settings, version: str) -> None:
    """Make a version the current one. Raises ModelError if there is a key, and it has not signed this version."""
    store, key = registry(settings), verify_key(settings)
    if key is not None:
        signature.verify(store.open(version), key)
    store.promote(version)


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
        flag_unseen=settings.features.flag_unseen,
        window=settings.features.window,
        max_gap=settings.features.max_gap,
        clock=settings.features.clock,
        holidays=settings.features.holidays,
        adaptation=settings.threshold.adaptation,
    )


def load_detector(settings: Settings) -> Detector:
    """The current model. Raises ModelError when it cannot be used: no other version takes its place."""
    use_threads(settings.worker.threads)
    store = registry(settings)
    version = store.current()
    if version is None:
        raise ModelError(
            f"there is no model {settings.model.name!r} in {settings.model.store}: `aestream train` makes one"
        )
    try:
        return _load(settings, store.open(version))
    except ModelError as error:
        older = fall_back(store, version, lambda name: _load(settings, store.open(name)))
        way = f"`aestream model rollback {older[0]}` goes back to one that can" if older else "nor can an older one"
        raise ModelError(f"the current model {store.model}@{version} cannot be used, {way}: {error}") from error


def load_version(settings: Settings, version: str) -> Detector:
    """One version of the model, for files. Raises ModelError when it cannot be used."""
    use_threads(settings.worker.threads)
    return _load(settings, registry(settings).open(version))


def export(settings: Settings, version: str | None, file: Path | None) -> None:
    """Write the network of a version, None: the current one, to a new file in ONNX.

    Raises ConfigurationError when the file cannot be written, or onnx is not installed, and ModelError when the version
    cannot be used.
    """
    if file is None:
        raise ConfigurationError("export needs the name of a file to write: --onnx FILE")
    if util.find_spec("onnx") is None:
        raise ConfigurationError("export needs the package onnx: pip install '.[onnx]' in your clone of the project")
    from aestream.networks.onnx import graph_of  # noqa: PLC0415 - needs the extra `onnx`

    detector = load_detector(settings) if version is None else load_version(settings, version)
    try:
        with file.open("xb") as out:
            out.write(graph_of(detector.network))
    except FileExistsError as error:
        raise ConfigurationError(f"{file} already exists: choose another file, or move that one away") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from error


def load_for_use(settings: Settings) -> Detector:
    """The current model, to encode and denoise with.

    Raises ModelError when there is none, ConfigurationError when it was trained for another latent size or noise.
    """
    detector = load_detector(settings)
    for name in ("latent_size", "noise"):
        wanted, has = getattr(settings.model, name), getattr(detector.options, name)
        if wanted not in {None, has}:
            raise ConfigurationError(
                f"{name} {wanted} was asked for, but the model {settings.model.name!r} was trained with {has}: "
                f"`aestream train --{name.replace('_', '-')} {wanted}` trains one, or name a file to learn from with "
                "--fit"
            )
    return detector


def roles(settings: Settings, detector: Detector, label: str | None = None, *, topic: bool = False) -> Roles:
    """The fields that tell entities and times, as set, or else as in the detector's training; and that of the label.

    Raises ConfigurationError where none are known, and the detector needs them: only a `topic` has others.
    """
    wanted, known = samplers.roles(settings, label), detector.naming
    key, time = wanted.key or known.keys or (), wanted.time or known.times
    for needed, there, name in ((known.keyed, key, "key"), (known.timed, time, "time")):
        if needed and not there and not topic:
            raise ConfigurationError(f"the model learnt from records with a {name}: name its field in `{name}`")
    return Roles(key, time, label)


def fit_file(settings: Settings, file: Path) -> Detector:
    """A detector fitted on a file, as `fit_detector` does."""
    return fit_detector(settings, samplers.of_file(settings, file))


def fit_detector(settings: Settings, sampler: FileSampler) -> Detector:
    """A detector fitted on a file, and not stored.

    Raises DataError when there is nothing to learn from the file, and ConfigurationError when torch is not installed.
    """
    learner()  # now, rather than when the file has been read
    use_threads(settings.worker.threads)
    sample = sampler.sample(progress=lambda _records, _wanted: None)
    return fit(new_detector(settings), sample)


@reference.naming_variables()
def load_model(settings: Settings, version: str) -> LoadedModel:
    """A version from the store with the pipeline around it. Raises ModelError when it cannot be used."""
    detector = _load(settings, registry(settings).open(version))
    if len(detector.schema.counters) and not detector.naming.timed:
        raise ModelError(
            "the model learnt how fast counters rise from records without times, and those of a topic have some: name "
            "the field with the time in `time` when you train it"
        )
    return LoadedModel(
        pipeline=pipeline(settings, detector, version),
        version=f"{settings.model.name}@{version}",
        sha256=detector.manifest.sha256,
        trained=detector.manifest.created.timestamp(),
        threshold=detector.threshold,
    )


def _load(settings: Settings, folder: Path) -> Detector:
    """Load a model, and check that it learnt from records as they are found in messages now. Raises ModelError.

    If there is a key, its signature is checked first.
    """
    key = verify_key(settings)
    signed = None if key is None else signature.verify(folder, key)
    detector = Detector.load(folder)
    if signed not in {None, detector.manifest.sha256}:
        raise ModelError(f"{folder} was changed while it was loaded: train again or roll back")
    here = settings.records.model_dump()
    trained = detector.manifest.metadata.get("layout", here)
    differs = [name for name, value in here.items() if trained.get(name) != value]
    if differs:
        then, now = (reference.written(found[differs[0]]) for found in (trained, here))
        raise ModelError(
            f"the model was trained with `{differs[0]}={then}`, and here it is {now or 'not set'}: set it as it was, "
            "or train again"
        )
    return detector


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
    known = roles(settings, detector, topic=True)
    return Pipeline(
        detector,
        detector.watch(settings.state.ttl),
        samplers.codec(settings).decoder(detector.schema, known.names if detector.remembers else known.key),
        renderer,
        dead_letters_topic=settings.topics.dead_letters,
        top_features=settings.output.top_features,
        roles=known,
        latent=settings.output.latent,
        reconstruction=settings.output.reconstruction,
    )
