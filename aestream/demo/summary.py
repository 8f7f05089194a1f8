"""The summary of the demo, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from aestream.demo.feed import Feed
from aestream.demo.verdict import Finding, Summary
from aestream.errors import DataError

_DIGITS = 6


def show(console: Console, feed: Feed, summary: Summary, findings: Sequence[Finding]) -> None:
    """Print the incidents and the figures."""
    if findings:
        console.print(_incidents(feed, findings))
    console.print(_figures(feed, summary))


def write(path: Path, summary: Summary) -> None:
    """Write the figures as JSON. Raises DataError when the file cannot be written."""
    figures = {k: round(v, _DIGITS) if isinstance(v, float) else v for k, v in asdict(summary).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    except OSError as error:
        raise DataError(f"--summary {path} cannot be written: {error.strerror}") from error


def _incidents(feed: Feed, findings: Sequence[Finding]) -> Table:
    several = len(feed.entities) > 1
    columns = ["", "incident", "records", "found", *(["seen in"] if several else []), "after", "top feature", "a cause"]
    table = Table(*columns, box=SIMPLE_HEAD)
    for number, finding in enumerate(findings, start=1):
        incident, causes = finding.case.incident, finding.case.causes
        known = dict.fromkeys(name for names in causes.values() for name in names)
        table.add_row(
            str(number),
            incident.name or _few(list(known)),
            f"{incident.start}-{incident.end}",
            "[green]yes[/]" if finding.found else "[red]no[/]",
            *([_seen(feed, finding)] if several else []),
            "" if finding.delay is None else str(finding.delay),
            finding.feature or "",
            {None: "", True: "yes", False: "no"}[finding.named_a_cause],
        )
    return table


def _seen(feed: Feed, finding: Finding) -> str:
    """The entities that showed an incident, or, if none did, those that should have."""
    chosen = sorted(finding.first_flagged or finding.case.causes)
    named = "all" if len(chosen) == len(feed.entities) else _few([feed.entities[entity] for entity in chosen])
    return named if finding.found else f"[dim]({named})[/]"


def _figures(feed: Feed, summary: Summary) -> Table:
    table = Table.grid(padding=(0, 2))
    lost = "none lost" if summary.lost == 0 else f"[bold red]{summary.lost} lost[/]"
    rows = {
        "records": f"{summary.records_in} in, {summary.scores_out} scored, {summary.dead_letters} dead letters, {lost}",
        "incidents found": f"{summary.incidents_found} of {summary.incidents_total}"
        + (
            ""
            if summary.delay_p50_records is None
            else f", half of them within {summary.delay_p50_records:.0f} records"
        ),
        "false alarms": _text(summary.false_alarm_rate, "{:.2f} % of the normal records", 100),
        "precision": _text(summary.precision, "{:.1f} % of the flagged records are labelled", 100),
        "episodes": _episodes(feed, summary),
        "levels": f"of {summary.entities} entities, {summary.entities_moved} moved for good and "
        f"{summary.entities_held} were held at another level at the end",
        "AUROC / AUPRC": f"{_text(summary.auroc, '{:.3f}')} / {_text(summary.auprc, '{:.3f}')}",
        "speed": _text(summary.records_per_second, "{:,.0f} records/s"),
        "latency": f"{_latency(summary)}, from a record's timestamp to its published score",
        "whole demo": f"{summary.seconds:.0f} s",
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return table


def _episodes(feed: Feed, summary: Summary) -> str:
    """How often an operator would have been paged, and for nothing."""
    if not summary.episodes:
        return "none"
    told = (
        f"{summary.episodes} for {summary.records_in} records, {summary.episodes_outside} of them without an incident"
    )
    if not feed.timed or summary.episodes_per_day is None:
        return told
    return (
        f"{told}; {summary.episodes_per_day:,.0f} a day, at {summary.incidents_total / feed.days:,.0f} incidents a day"
    )


def _latency(summary: Summary) -> str:
    return f"p50 {_text(summary.latency_p50_ms, '{:.0f} ms')}, p99 {_text(summary.latency_p99_ms, '{:.0f} ms')}"


def _text(value: float | None, form: str, factor: float = 1.0) -> str:
    return "unknown" if value is None else form.format(value * factor)


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
