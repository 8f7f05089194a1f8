"""Turns settings into the codec, and into a source of records to learn from: a file, or the past of topics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aestream.app import clients, topics
from aestream.codecs.base import Codec
from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.features.inference import infer_schema
from aestream.sampling import Choose, FileSampler, TopicSampler
from aestream.settings.settings import Settings


def sampler(settings: Settings, file: Path | None, names: Sequence[str]) -> FileSampler | TopicSampler:
    """The source of records to learn from: a file, or the past of topics."""
    if file is not None:
        return of_file(settings, file)
    if not names:
        topics.need_input(settings)
    return TopicSampler(
        clients.history(settings, names),
        codec(settings),
        records=settings.trainer.sample_records,
        period=settings.trainer.sample_period,
        choose=_choose(settings),
    )


def of_file(settings: Settings, file: Path) -> FileSampler:
    """The records of a file."""
    return FileSampler(
        file,
        lines(settings),
        records=settings.trainer.sample_records,
        choose=_choose(settings),
    )


def inference(settings: Settings) -> dict[str, Any]:
    """The settings that choose the features; the others in the section are about their deviations."""
    return settings.features.model_dump(include={"include", "exclude", "timestamps", "missing"})


def _choose(settings: Settings) -> Choose:
    """How the features are inferred from records."""
    return partial(infer_schema, **inference(settings))


def codec(settings: Settings) -> Codec:
    """The format of the records in the topics."""
    return JsonCodec(settings.worker.max_record_bytes, _layout(settings))


def lines(settings: Settings) -> Codec:
    """The format of the lines of a JSON lines file, whatever the topics hold."""
    return JsonCodec(settings.worker.max_record_bytes, _layout(settings))


def _layout(settings: Settings) -> Layout:
    return Layout(settings.records.layout, settings.records.unpack, settings.records.where)
