"""Turns settings into a backtest: the stretch of the past, and the one or two detectors that judge it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import TypeAlias

from aestream.app import clients, models, samplers, topics
from aestream.backtest import stretch
from aestream.backtest.episodes import Episode
from aestream.backtest.outcome import Outcome, Progress, judge
from aestream.columns import BadValueError
from aestream.detector.detector import Detector
from aestream.errors import ConfigurationError
from aestream.features.series import seconds
from aestream.files.formats import format_of
from aestream.files.rows import count_rows, read_rows
from aestream.settings.settings import Settings

Draw: TypeAlias = Callable[[Path, str, str, Outcome, Sequence[Episode]], None]

# More records than a topic holds.
_ALL = 2**62
_SLACK_SECONDS = 60.0  # of the period that is read: what is older than asked for is left out afterwards


@dataclass(frozen=True, slots=True)
class Plan:
    """What to judge, and with what.

    `source` is a file or a topic; None is the input topic. `fit` is a file to fit a detector on. To compare with,
    `version` is another version of the model, and `other` what other settings are called, and the settings. Only
    records from `start` on and before `end`, in seconds, are judged. `label` is the field that marks what was wrong.
    """

    source: str | None
    fit: Path | None = None
    version: str | None = None
    other: tuple[str, Settings] | None = None
    label: str | None = None
    start: float = -math.inf
    end: float = math.inf


@dataclass(frozen=True, slots=True)
class Entrant:
    """A detector that judges the stretch, and what it is called."""

    name: str
    detector: Detector


@dataclass(frozen=True, slots=True)
class _Half:
    """Where a file is cut in two: at a time in seconds, or else after so many records."""

    time: float | None
    count: int


def run(settings: Settings, plan: Plan, progress: Progress) -> tuple[str, list[tuple[str, Outcome]]]:
    """Judge the stretch by one detector or two: what was judged, and what each is called and makes of it.

    Raises ConfigurationError when the plan cannot work; DataError, ModelError and TransportError when a file, a model
    or a topic cannot be used.
    """
    file = _file(plan.source)
    fit = plan.fit
    if fit is None and file is not None and (plan.other is not None or models.registry(settings).current() is None):
        fit = file
    if _bounded(plan) and file is not None and samplers.roles(settings).time is None:
        raise ConfigurationError("--from and --to need the times of the records: name their field with --time")
    if fit is None and plan.other is not None:
        raise ConfigurationError("--against-set fits a second detector: name the file to fit on with --fit")
    same = fit is not None and file is not None and fit.exists() and file.exists() and fit.samefile(file)
    half = _cut(settings, file) if same and file is not None else None
    entrants = list(_entrants(settings, plan, fit, half))
    what = file.name if file else f"topic {', '.join(_topics(settings, plan))}"
    judged = [(of.name, _judge(settings, plan, file, half, of.detector, progress)) for of in entrants]
    return f"the second half of {what}" if half else what, judged


def span(start: str | None, end: str | None) -> tuple[float, float]:
    """Read the ends of a stretch, in seconds. Raises ConfigurationError for what is no time."""
    try:
        first, last = (None if text is None else float(seconds([text])[0]) for text in (start, end))
    except BadValueError as error:
        raise ConfigurationError(f"--from and --to are times in ISO 8601, or seconds since 1970: {error}") from error
    return -math.inf if first is None else first, math.inf if last is None else last


def drawing(path: Path | None) -> Draw | None:
    """What draws a plot, None if none is wanted. Raises ConfigurationError where that needs another package."""
    if path is None:
        return None
    if util.find_spec("matplotlib") is None:
        raise ConfigurationError("--plot needs matplotlib: pip install '.[demo]' in your clone of the project")
    from aestream.backtest import plot  # noqa: PLC0415 - needs the extra `demo`

    return plot.draw


def _file(source: str | None) -> Path | None:
    """The file that is meant, None for a topic: what is there, or has a name as files have."""
    if source is None or Path(source).is_file():
        return None if source is None else Path(source)
    with suppress(ConfigurationError):
        format_of(Path(source))
        return Path(source)
    return None


def _entrants(settings: Settings, plan: Plan, fit: Path | None, half: _Half | None) -> Iterator[Entrant]:
    """The detector, and the one to compare it with, if any."""
    if fit is None:
        detector = models.load_detector(settings)
        yield Entrant(f"{settings.model.name}@{models.registry(settings).current()}", detector)
    else:
        name = "fitted on the first half" if half else f"fitted on {fit.name}"
        yield Entrant(name, _fitted(settings, plan, fit, half))
        if plan.other is not None:
            called, other = plan.other
            yield Entrant(called, _fitted(other, plan, fit, half))
    if plan.version is not None:
        yield Entrant(f"{settings.model.name}@{plan.version}", models.load_version(settings, plan.version))


def _fitted(settings: Settings, plan: Plan, file: Path, half: _Half | None) -> Detector:
    """A detector that learnt from a file, or from its first half, without the labels."""
    if plan.label is not None:
        chosen = settings.features.model_copy(update={"exclude": [*settings.features.exclude, plan.label]})
        settings = settings.model_copy(update={"features": chosen})
    sampler = samplers.of_file(settings, file)
    if half is not None and half.time is not None:
        sampler = replace(sampler, roles=samplers.roles(settings), until=half.time)
    elif half is not None:
        sampler = replace(sampler, records=min(half.count, sampler.records))
    return models.fit_detector(settings, sampler)


def _cut(settings: Settings, file: Path) -> _Half:
    """The middle of a file: by the time of its records if a field holds that, else by their number."""
    roles = samplers.roles(settings)
    if roles.time is None:
        return _Half(None, count_rows(file, settings.files.encoding) // 2)
    return _Half(replace(samplers.of_file(settings, file), roles=roles).middle(), 0)


def _judge(
    settings: Settings, plan: Plan, file: Path | None, half: _Half | None, detector: Detector, progress: Progress
) -> Outcome:
    """What a detector makes of the stretch."""
    roles = models.roles(settings, detector, plan.label, topic=file is None)
    if file is None:
        chunks = stretch.of_topic(
            clients.history(settings, _topics(settings, plan)),
            samplers.codec(settings).decoder(detector.schema, roles.names),
            roles,
            records=settings.trainer.sample_records if math.isinf(plan.start) else _ALL,
            period=None if math.isinf(plan.start) else max(time.time() - plan.start, 0.0) + _SLACK_SECONDS,
        )
    else:
        chunks = read_rows(file, detector.schema, samplers.lines(settings), settings.files.encoding, roles)
    if half is not None:
        begin = half.time
        chunks = stretch.after(chunks, half.count) if begin is None else stretch.between(chunks, begin, math.inf)
    if _bounded(plan):
        chunks = stretch.between(chunks, plan.start, plan.end)
    return judge(detector, chunks, progress)


def _bounded(plan: Plan) -> bool:
    return not (math.isinf(plan.start) and math.isinf(plan.end))


def _topics(settings: Settings, plan: Plan) -> Sequence[str]:
    if plan.source is not None:
        return [plan.source]
    topics.need_input(settings)
    return settings.topics.input
