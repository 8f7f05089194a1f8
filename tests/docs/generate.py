"""Writes the parts of the documentation that follow from the code: `make docs`. tests/docs fails if they are stale."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily

from aestream import cli, errors
from aestream.messages.closings import Closing
from aestream.messages.scores import Score
from aestream.service.metrics import Metrics, TrainerMetrics, WorkerMetrics
from aestream.settings import reference

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- generated: make docs -->", "<!-- end of the generated part -->"


def settings_table() -> str:
    """Every setting by section: variable, default, meaning."""
    lines: list[str] = []
    section = None
    for setting in reference.describe():
        if setting.section != section:
            section = setting.section
            lines += ["", f"### {section}", "", "| variable | default | meaning |", "|---|---|---|"]
        default = f"`{setting.default}`" if setting.default else "(none)"
        lines.append(f"| `{setting.variable}` | {default} | {setting.description} |")
    return "\n".join(lines)


def metrics_table() -> str:
    """Every metric: process, name, type, labels, meaning."""
    lines = ["| metric | process | type | labels | meaning |", "|---|---|---|---|---|"]
    common = vars(Metrics(CollectorRegistry()))
    roles = {"both": common}
    for role in (WorkerMetrics, TrainerMetrics):
        own = vars(role(CollectorRegistry()))
        roles[role.__name__.removesuffix("Metrics").lower()] = {n: m for n, m in own.items() if n not in common}
    for process, metric in ((process, metric) for process, found in roles.items() for metric in found.values()):
        if isinstance(metric, CollectorRegistry):
            continue
        family = next(iter(metric.collect()))
        kind = "histogram" if isinstance(family, HistogramMetricFamily) else family.type
        name = f"{family.name}_total" if kind == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ()))
        lines.append(f"| `{name}` | {process} | {kind} | {labels} | {family.documentation} |")
    return "\n".join(lines)


def commands_table() -> str:
    """Every command with its help and its own options."""
    lines = ["| command | what it does | options |", "|---|---|---|"]
    parser = cli.build_parser()
    choices = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for action in choices._choices_actions:
        command = choices.choices[action.dest]
        own = [
            f"`{option.option_strings[-1] if option.option_strings else option.metavar or option.dest}`"
            for option in command._actions
            if option.dest not in {"help", "config", "set"}
        ]
        lines.append(f"| `aestream {action.dest}` | {action.help} | {' '.join(own)} |")
    return "\n".join(lines)


def schema(message: type[msgspec.Struct]) -> str:
    """The JSON Schema of a message, from the struct that encodes it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(message)}
    return json.dumps(schema, indent=2) + "\n"


def layers() -> str:
    """Who imports whom, as the linter enforces it: one line per layer, the uppermost first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    lines = [f"    {layer}" for layer in contracts[0]["layers"]]
    return "\n".join(lines).replace("aestream.", "")


def error_classes(base: type[errors.AestreamError] = errors.AestreamError, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Every class of the error tree with its depth, from the top down."""
    yield depth, base.__name__
    for derived in base.__subclasses__():
        if derived.__module__ == errors.__name__:
            yield from error_classes(derived, depth + 1)


def error_tree() -> str:
    """Every error, indented below the one that it derives from, with its meaning."""
    shown = [(f"{'    ' * depth}{name}", getattr(errors, name).__doc__) for depth, name in error_classes()]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"    {name:{width}}  {meaning.splitlines()[0]}" for name, meaning in shown)


def documents() -> dict[Path, str]:
    """The files that are generated or have generated parts, and their expected content."""
    return {
        ROOT / "config.example.env": reference.example(),
        ROOT / "docs/score.schema.json": schema(Score),
        ROOT / "docs/closing.schema.json": schema(Closing),
        ROOT / "docs/configuration.md": _filled(ROOT / "docs/configuration.md", settings_table()),
        ROOT / "docs/metrics.md": _filled(ROOT / "docs/metrics.md", metrics_table()),
        ROOT / "docs/ARCHITECTURE.md": _filled(ROOT / "docs/ARCHITECTURE.md", layers(), error_tree()),
        ROOT / "docs/commands.md": _filled(ROOT / "docs/commands.md", commands_table()),
    }


def _filled(path: Path, *texts: str) -> str:
    """The file with its generated parts, between BEGIN and END, replaced by `texts` in order."""
    first, *parts = path.read_text().split(BEGIN)
    pairs = zip(texts, parts, strict=True)
    return first + "".join(
        BEGIN + "\n" + text.strip("\n") + "\n" + END + part.partition(END)[2] for text, part in pairs
    )


def main() -> None:
    """Write them."""
    for path, text in documents().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")  # noqa: T201


if __name__ == "__main__":
    main()
