"""What the commands show on a terminal: progress bars, tables, and anomalies as they are found."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from aestream.artefact import FieldNote, Manifest
from aestream.columns import Value
from aestream.inference.infer import Inference
from aestream.inference.judgement import percent
from aestream.messages.closings import Closing
from aestream.messages.cloudevents import moment
from aestream.messages.episodes import Episode
from aestream.messages.scores import FeatureShare, Score
from aestream.networks.progress import Progress as Step
from aestream.registry.base import Version
from aestream.sampling.held import Held
from aestream.service.trainer import Reporter, Run
from aestream.settings.reference import in_variables
from aestream.settings.settings import PREFIX

_PREFIX = f"{PREFIX}FEATURES__"
_ROWS = 60  # of a table of fields

console = Console()


class TrainingReport(Reporter):
    """Progress bars for the sample and the fit, with loss and time left; plain lines if there is no terminal."""

    def __init__(self, to: Console | None = None) -> None:
        self._console = to or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._reading = self._bars.add_task("reading", total=None, note="")
        self._fitting = self._bars.add_task("training", total=None, visible=False, note="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def sampled(self, records: int, wanted: int) -> None:
        """Advance the first bar."""
        self._bars.update(self._reading, completed=records, total=max(records, wanted), note=f"{records} records")

    def inferred(self, found: Inference) -> None:  # noqa: ARG002 - the table at the end shows it
        """Fill the first bar."""
        self._bars.update(self._reading, total=1, completed=1)

    def fitted(self, progress: Step) -> None:
        """Advance the second bar."""
        note = f"loss {progress.loss:.4f}, validation loss {progress.validation_loss:.4f}"
        self._bars.update(self._fitting, visible=True, completed=progress.step, total=progress.steps, note=note)


def trained(run: Run, model: str) -> None:
    """Print a summary of a training run: the fields, the model and what to know about it."""
    fields(run.fields[:_ROWS])
    if len(run.fields) > _ROWS:
        console.print(f"and {len(run.fields) - _ROWS} more fields: `aestream model show` lists them all")
    version(run, model)
    if run.covered and not any(run.covered in warning for warning in run.warnings):
        console.print(f"the records cover {run.covered}", highlight=False, soft_wrap=True)
    if run.held is not None:
        _entities(run.held)
    for decision in run.decisions:
        console.print(decision, highlight=False, markup=False, soft_wrap=True)
    for reason, count in run.invalid.items():
        console.print(f"skipped {count} records: {reason}", highlight=False, soft_wrap=True)
    _notes(run.warnings)


def version(run: Run, model: str) -> None:
    """Print the line about the model that a training run has made."""
    used = sum(bool(note.used) for note in run.fields)
    console.print(
        f"model {model}@{run.version}: {run.records} records, {used} features, "
        f"threshold {run.threshold:.4g}, {run.seconds:.1f} s",
        highlight=False,
        soft_wrap=True,
    )


def _entities(held: Held) -> None:
    """Print a table of one row: the entities of a sample, and how well they are covered."""
    table = Table(
        Column("entities", justify="right"),
        Column("records of each,\nin the median", justify="right"),
        Column("at least", justify="right"),
        Column("with their own\nscaling", justify="right"),
        Column("with the\nshared one", justify="right"),
        pad_edge=False,
        box=SIMPLE_HEAD,
    )
    table.add_row(*(f"{n:,}" for n in (held.entities, held.median, held.least, held.own, held.entities - held.own)))
    console.print(table, highlight=False)
    if held.share < 1:
        told = "they were chosen by their keys, and the sample holds all of their records that were read"
        console.print(f"about {percent(held.share, 1)} of all entities: {told}", highlight=False, soft_wrap=True)


def _notes(warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.print(f"note: {in_variables(warning)}", highlight=False, markup=False, soft_wrap=True)


def fields(notes: Sequence[FieldNote]) -> None:
    """Print a table of the fields: what each is used as, or why it is left out, and what would change that."""
    change = Column(f"to change it, set\n{_PREFIX}", no_wrap=True)
    table = Table(Column("field", overflow="fold"), "used as", "because", change, pad_edge=False, box=SIMPLE_HEAD)
    for note in notes:
        missing = f", missing in {percent(note.missing, 1)}" if note.used and note.missing else ""
        setting = in_variables(note.remedy).replace(note.name, "…")  # the name stands in the first column
        row = (note.name, note.used or "left out", in_variables(note.reason) + missing, setting)
        cells = (cell if cell.isprintable() else ascii(cell) for cell in row)
        table.add_row(*(escape(cell.removeprefix(_PREFIX)) for cell in cells), style="" if note.used else "yellow")
    if table.row_count:
        console.print(table, highlight=False)


def model(manifest: Manifest, name: str) -> None:
    """Print what a person asks of a model version."""
    lines = {
        "model": name,
        "trained": f"{manifest.created:%Y-%m-%d %H:%M %Z} on {manifest.records} records",
        "threshold": f"{manifest.threshold_value:.4g}",
        "features": str(len(manifest.features)),
        "sha256": manifest.sha256,
    }
    for what, told in lines.items():
        console.print(f"{what:<10} {told}", highlight=False, markup=False, soft_wrap=True)
    for decision in manifest.training.get("decisions", ()):
        console.print(decision, highlight=False, markup=False, soft_wrap=True)
    _notes(manifest.metadata.get("warnings", ()))
    fields(manifest.fields)


def versions(found: Sequence[Version], current: str | None) -> None:
    """Print a table of a model's versions."""
    table = Table(
        Column("version", no_wrap=True),
        Column("", no_wrap=True),
        Column("trained", no_wrap=True),
        "records",
        "features",
        "threshold",
        pad_edge=False,  # six columns in 80 characters
    )
    for version in found:
        manifest = version.manifest
        table.add_row(
            version.name,
            "current" if version.name == current else "" if version.promoted else "not promoted",
            f"{manifest.created:%Y-%m-%d %H:%M}",
            str(manifest.records),
            str(len(manifest.features)),
            f"{manifest.threshold_value:.4g}",
        )
    if current is not None and current not in {version.name for version in found}:
        table.add_row(current, "current", "cannot be read")
    console.print(table if table.row_count else "no versions yet: `aestream train` makes one")


def anomaly(message: bytes) -> None:
    """One line for one message of the anomalies topic; any other message is printed as it is."""
    line = message.decode(errors="replace")
    with contextlib.suppress(msgspec.MsgspecError):
        line = closing_line(msgspec.json.decode(message, type=Closing))
    with contextlib.suppress(msgspec.MsgspecError):
        line = anomaly_line(msgspec.json.decode(message, type=Score))
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def anomaly_line(score: Score) -> str:
    """Time, score, place, the entity or else the key, and the features that show the anomaly.

    Of an episode that ends: since when, its worst score, and the features that showed it.
    """
    when, place = _time(score.source.timestamp), score.source.place
    if score.episode is not None and not score.anomaly:
        return f"{when} {_over(score.episode, place, _about(score))}"
    features = explained((score.features or ())[:3])
    return f"{when} score {score.score:.2f} {place}{_about(score)}: {features}"


def closing_line(closing: Closing) -> str:
    """The end of an episode that is not told by a record: why, and the same as of one that is."""
    source, why = closing.source, closing.status.replace("_", " ")
    place = f"{source.topic}/{source.partition}"
    return f"{_time(source.timestamp)} {why}, {_over(closing.episode, place, _about(closing))}"


def _over(episode: Episode, place: str, about: str) -> str:
    parts = ", ".join(f"{part.name} ({part.share:.0%})" for part in episode.features[:3])
    return f"over, since {_time(episode.since)}, at worst {episode.worst:.2f} {place}{about}: {parts}"


def _about(message: Score | Closing) -> str:
    return f" {entity(message)}" if message.entity else f" key {message.key}" if message.key else ""


def _time(milliseconds: int) -> str:
    return f"{moment(milliseconds):%Y-%m-%d %H:%M:%S}"


def explained(features: Sequence[FeatureShare]) -> str:
    """The features that show an anomaly, with what was observed and expected, and their shares."""
    return "; ".join(f"{f.name} {shown(f.observed)}, expected {shown(f.expected)} ({f.share:.0%})" for f in features)


def entity(message: Score | Closing) -> str:
    """What an anomaly is about, such as `host=web-1 disk=sda`; empty if it names no entity."""
    pairs = (f"{name}={text}" for name, text in (message.entity or {}).items())
    return " ".join(pair if pair.isprintable() else ascii(pair)[1:-1] for pair in pairs)


def shown(value: Value) -> str:
    """A feature's value in a few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "missing" if value is None else str(value).lower() if isinstance(value, bool) else value
