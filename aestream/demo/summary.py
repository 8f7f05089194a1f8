"""The summary of the demo, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from aestream.demo.verdict import Finding, Summary
from aestream.errors import DataError

_PER = 10_000  # false alarms are easier to grasp per this many records
_DIGITS = 6


def show(console: Console, summary: Summary, findings: Sequence[Finding]) -> None:
    """Print the incidents and the figures."""
    if findings:
        console.print(_incidents(findings))
    console.print(_figures(summary))


def write(path: Path, summary: Summary) -> None:
    """Write the figures as JSON. Raises DataError when the file cannot be written."""
    figures = {k: round(v, _DIGITS) if isinstance(v, float) else v for k, v in asdict(summary).items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    except OSError as error:
        raise DataError(f"--summary {path} cannot be written: {error.strerror}") from error


def _incidents(findings: Sequence[Finding]) -> Table:
    table = Table("", "incident", "rows", "found", "first flagged", "top feature", "is a cause", box=SIMPLE_HEAD)
    for number, finding in enumerate(findings, start=1):
        incident, cause = finding.incident, finding.named_a_cause
        table.add_row(
            str(number),
            incident.name or _few(incident.causes),
            f"{incident.start}-{incident.end}",
            "[red]no[/]" if finding.first_flagged is None else "[green]yes[/]",
            "" if finding.first_flagged is None else str(finding.first_flagged),
            finding.feature or "",
            "" if cause is None else "yes" if cause else "no",
        )
    return table


def _figures(summary: Summary) -> Table:
    table = Table.grid(padding=(0, 2))
    lost = "none lost" if summary.lost == 0 else f"[bold red]{summary.lost} lost[/]"
    rows = {
        "records": f"{summary.records_in} in, {summary.scores_out} scored, {summary.dead_letters} dead letters, {lost}",
        "incidents found": f"{summary.incidents_found} of {summary.incidents_total}",
        "false alarms": _text(summary.false_alarm_rate, f"{{:.1f}} per {_PER:,} normal records", _PER),
        "precision": _text(summary.precision, "{:.1f} % of the flagged records are labelled", 100),
        "AUROC / AUPRC": f"{_text(summary.auroc, '{:.3f}')} / {_text(summary.auprc, '{:.3f}')}",
        "speed": _text(summary.records_per_second, "{:,.0f} records/s"),
        "latency": f"{_latency(summary)}, from a record's timestamp to its published score",
        "whole demo": f"{summary.seconds:.0f} s",
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    return table


def _latency(summary: Summary) -> str:
    return f"p50 {_text(summary.latency_p50_ms, '{:.0f} ms')}, p99 {_text(summary.latency_p99_ms, '{:.0f} ms')}"


def _text(value: float | None, form: str, factor: float = 1.0) -> str:
    return "unknown" if value is None else form.format(value * factor)


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
