"""Turns settings into the codec, and into a source of records to learn from: a file, or the past of topics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aestream.app import clients, topics
from aestream.codecs.base import Codec
from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.errors import DataError
from aestream.features.roles import NO_ROLES, Roles
from aestream.inference.documents import Documents
from aestream.inference.infer import Inference, infer
from aestream.inference.selection import Selection
from aestream.sampling.sample import Choose
from aestream.sampling.topic import TopicSampler
from aestream.settings.settings import Settings

if TYPE_CHECKING:
    from aestream.sampling.file import FileSampler


def sampler(settings: Settings, file: Path | None, names: Sequence[str]) -> FileSampler | TopicSampler:
    """The source of records to learn from: a file, or the past of topics."""
    if file is not None:
        return of_file(settings, file)
    if not names:
        topics.need_input(settings)
    return of_topics(settings, names)


def of_topics(settings: Settings, names: Sequence[str]) -> TopicSampler:
    """The past of topics."""
    return TopicSampler(
        clients.history(settings, names),
        codec(settings),
        records=settings.trainer.sample_records,
        period=settings.trainer.sample_period,
        choose=_choose(settings),
        roles=None if settings.features.window == 1 else roles(settings),
    )


def of_file(settings: Settings, file: Path) -> FileSampler:
    """The records of a file."""
    from aestream.sampling.file import FileSampler  # noqa: PLC0415 - pyarrow is for tables, and a worker sees none

    return FileSampler(
        file,
        lines(settings),
        records=settings.trainer.sample_records,
        choose=_choose(settings),
        encoding=settings.files.encoding,
        roles=NO_ROLES if settings.features.window == 1 else roles(settings),
    )


def roles(settings: Settings, label: str | None = None) -> Roles:
    """The fields that tell entities and times, and the one that marks what was wrong."""
    return Roles(settings.features.key, settings.features.time or _layout(settings).time, label)


def inference(settings: Settings, documents: Documents, *, missing: Sequence[str] | None = None) -> Inference:
    """What documents show, with the settings that choose the features; `missing` takes the place of its setting."""
    wanted = settings.features
    by_layout = _layout(settings).time
    known = by_layout is not None and any(by_layout in record for record in documents.records)
    time, together = wanted.time or (by_layout if known else None), wanted.window != 1
    # what tells entities and times is no feature where each entity is seen by itself
    wished = {*wanted.include, *wanted.timestamps}
    beside = [name for name in (*wanted.key, time) if together and name and name not in wished]
    chosen = Selection(
        include=wanted.include,
        exclude=[*wanted.exclude, *beside],
        timestamps=wanted.timestamps,
        missing=wanted.missing if missing is None else missing,
        key=wanted.key,
        units=wanted.units,
        time=time,
        rates=together,
    )
    return infer(documents, chosen)


def _choose(settings: Settings) -> Choose:
    """How the features are inferred from records. It refuses those of which a model would not see much."""

    def choose(documents: Documents) -> Inference:
        found = inference(settings, documents)
        if found.review.refusal and not settings.trainer.force:
            raise DataError(found.review.refusal)
        return found

    return choose


def codec(settings: Settings) -> Codec:
    """The format of the records in the topics."""
    return JsonCodec(settings.worker.max_record_bytes, _layout(settings))


def lines(settings: Settings) -> Codec:
    """The format of the lines of a JSON lines file, whatever the topics hold."""
    return JsonCodec(settings.worker.max_record_bytes, _layout(settings))


def _layout(settings: Settings) -> Layout:
    return Layout(settings.records.layout, settings.records.unpack, settings.records.where)
