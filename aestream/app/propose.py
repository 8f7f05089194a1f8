"""Proposes a configuration for the records of a topic or a file: what `aestream init` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aestream.app import samplers
from aestream.codecs.envelopes import PLAIN, is_metric
from aestream.errors import UnreadableError
from aestream.inference.documents import Documents
from aestream.inference.infer import Inference
from aestream.inference.judgement import MIN_PRESENT, Cause, Finding, percent
from aestream.inference.selection import written
from aestream.settings import reference
from aestream.settings.settings import PREFIX, Settings
from aestream.thresholds.calibrators import USUAL_RATE

# What is tried if the records are not read: these layouts know their messages, and refuse others.
_LAYOUTS = ("debezium", "telegraf", "opentelemetry")
# Characters that a list of names cannot hold, or would read as a pattern: `?`, which matches any one, replaces them.
_TO_QUOTE = re.compile(r"[\s#'\"$`\\]")


def proposed_configuration(settings: Settings, file: Path | None, topic: str | None) -> tuple[str, list[str]]:
    """A commented configuration for the records of a file, a topic, or else the input topics; and what to know."""
    names = [topic] if topic else settings.topics.input
    settings, documents = _read(settings, file, names)
    in_force = dict(line.split("=", 1) for line in reference.in_force(settings))
    connection = {
        setting.variable: in_force[setting.variable]
        for setting in reference.describe()
        if setting.dotted == "kafka.bootstrap_servers"
        or (setting.dotted.startswith(("kafka.", "records.")) and in_force[setting.variable] != setting.default)
    }
    connection[f"{PREFIX}TOPICS__INPUT"] = ",".join(names)
    as_set = samplers.inference(settings, documents)
    found = samplers.inference(settings, documents, missing=["impute"])
    if as_set.review.mixed:
        found = replace(found, review=as_set.review)
    text = propose(
        found,
        source=file.name if file else f"topic {', '.join(names)}",
        records=len(documents),
        connection={name: "" if value.startswith("***") else value for name, value in connection.items()},
    )
    return text, notes(found)


def _read(settings: Settings, file: Path | None, names: Sequence[str]) -> tuple[Settings, Documents]:
    """Records, and the settings that read them: with another layout if they are not plain.

    Raises DataError when there are no records, or none that any layout reads.
    """
    try:
        documents = samplers.sampler(settings, file, names).documents()
    except UnreadableError:
        for layout in _LAYOUTS:
            with suppress(UnreadableError):
                other = _with_layout(settings, layout)
                return other, samplers.sampler(other, file, names).documents()
        raise
    if settings.records.layout == PLAIN and all(map(is_metric, documents.records)):
        settings = _with_layout(settings, "telegraf")
        documents = samplers.sampler(settings, file, names).documents()
    return settings, documents


def _with_layout(settings: Settings, layout: str) -> Settings:
    return settings.model_copy(update={"records": settings.records.model_copy(update={"layout": layout})})


def propose(found: Inference, *, source: str, records: int, connection: Mapping[str, str]) -> str:
    """Write a commented file of variables, in the form of config.example.env.

    `found` is what `records` records of `source` show about their fields, as if every missing value were imputed.
    `connection` maps the names of the variables that lead to the records to their values.
    """
    return "\n".join(_lines(found, source, records, connection)) + "\n"


def notes(seen: Inference) -> list[str]:
    """What a person should know about the records, one line each."""
    return [reference.in_variables(note) for note in (seen.review.refusal, *seen.review.warnings) if note]


def _lines(seen: Inference, source: str, records: int, connection: Mapping[str, str]) -> Iterator[str]:
    chosen = [found for found in seen.findings if found.column is not None]
    others = [found for found in seen.findings if found.column is None]
    yield f"# Proposed by `aestream init` from {records} records of {source}. Review it, then run:"
    yield "# aestream validate; aestream train; aestream worker. `aestream config --example` shows all settings."
    for note in notes(seen):
        yield f"# Note: {note}"
    yield ""
    yield "## Where the records are"
    yield ""
    for name, value in connection.items():
        yield f"{'' if value else '# '}{name}={_quoted(value)}"
    yield ""
    yield "## Which fields of a record are used"
    yield ""
    yield f"# Features ({len(chosen)}):"
    yield from _table([(found.name, found.note.used, _with_missing(found)) for found in chosen])
    unless = "# " if seen.review.mixed else ""  # with these lines, training would not refuse such records
    yield unless + _setting("INCLUDE", [written(found.name) for found in chosen])
    yield ""
    yield f"# Left out ({len(others)}). Add a name above to use the field anyway, if that is possible:"
    yield from _table([(found.name, reference.in_variables(found.reason)) for found in others])
    yield "# AESTREAM_FEATURES__EXCLUDE="
    yield ""
    yield "# Fields that tell entities apart (hosts, machines, cards); anomalies name theirs. Unset: the record's key."
    exact = all(written(name) == name for name in seen.key)
    yield ("" if exact else "# ") + _setting("KEY", seen.key)
    times = [written(found.name) for found in others if found.cause is Cause.TIMESTAMP]
    yield ""
    yield "# Timestamps to use, as time of day and weekday, if what is normal depends on them:"
    yield f"# {_setting('TIMESTAMPS', times)}".replace("# # ", "# ")
    gaps = [found for found in chosen if found.missing > 0]
    often = [found for found in gaps if found.missing > 1 - MIN_PRESENT]
    yield ""
    yield "# A record that lacks a feature becomes a dead letter, unless its policy is to impute the sample's median or"
    yield "# the most frequent category or boolean. Proposed for features that more than 1 % of the records lack."
    yield from _table([(found.name, f"missing in {percent(found.missing, 1)}") for found in gaps])
    yield unless + _setting("MISSING", ["dead_letter", *(f"{written(found.name)}=impute" for found in often)])
    yield ""
    yield "## When a record counts as an anomaly"
    yield ""
    yield "# The share of normal records that may be flagged."
    yield f"# AESTREAM_THRESHOLD__FALSE_ALARM_RATE={USUAL_RATE}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows as comments in aligned columns."""
    shown = [[cell if cell.isprintable() else ascii(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "#   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _with_missing(found: Finding) -> str:
    return f"{found.reason}, missing in {percent(found.missing, 1)}" if found.missing else found.reason


def _setting(name: str, items: Sequence[str]) -> str:
    return f"{'' if items else '# '}AESTREAM_FEATURES__{name}={_quoted(','.join(items))}"


def _quoted(value: str) -> str:
    if not _TO_QUOTE.search(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
