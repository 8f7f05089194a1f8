"""From the document to the page docs/detection-quality.md, and to the terminal. What the page says is in `words`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.bench.quality import words
from tests.bench.quality.markdown import Document, mean, percent, table
from tests.bench.quality.series_page import SERIES_SECTIONS

RATES = {"0.01": "1 %", "0.001": "0.1 %"}
# What still counts as the rate that was asked for, as factors of it.
NEAR = (0.5, 1.5)


def render(made: Document) -> str:
    """Return the page."""
    sections = [_SECTIONS[part](made[part]) for part in _SECTIONS if part in made]
    return "\n\n".join([_head(made), *sections]) + "\n"


def _head(made: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    seeds = ", ".join(map(str, made["seeds"]))
    told = {name: made[name] for name in ("command", "machine", "measured", "cells")}
    return words.HEAD.format(seeds=seeds, versions=versions, **told)


def _tabular(rows: Sequence[Document]) -> str:
    text = words.TABULAR
    for folder in dict.fromkeys(row["folder"] for row in rows):
        own = [row for row in rows if row["folder"] == folder]
        protocols = list(dict.fromkeys(row["protocol"] for row in own))
        lines = []
        for detector in dict.fromkeys(row["detector"] for row in own):
            line = [detector]
            for protocol in protocols:
                found = [row for row in own if row["detector"] == detector and row["protocol"] == protocol]
                line += _ranked(found[0]) if found else [""] * 3
            lines.append(line)
        sets = max(row["all_sets"] for row in own)
        head = [f"{folder}, {sets} sets"]
        for protocol in protocols:
            head += [f"{protocol}: AUROC", "AUPRC", "wins"]
        text += "\n\n" + table(head, lines)
    return text


def _ranked(row: Document) -> list[str]:
    partly = f" ({row['sets']} sets)" if row["sets"] < row["all_sets"] else ""
    return [f"{100 * row['auroc']:.1f}", f"{100 * row['auprc']:.1f}{partly}", str(row["wins"])]


def _calibration(rows: Sequence[Document]) -> str:
    rates = [rate for rate in RATES if any(rate in row["achieved"] for row in rows)]
    text = words.CALIBRATION
    for rate in rates:
        achieved = [row["achieved"][rate] for row in rows if rate in row["achieved"]]
        low, high = (factor * float(rate) for factor in NEAR)
        near = sum(low <= each <= high for each in achieved)
        text += (
            f"\n\nRequested {RATES[rate]}: {near} of {len(achieved)} sets between {100 * low:g} and {100 * high:g} %; "
            f"median {percent(float(np.median(achieved)), 2)} %, highest {percent(max(achieved), 2)} %."
        )
    head = ["set", "training rows", "held-out rows", *(f"{RATES[rate]} becomes" for rate in rates)]
    lines = [
        [
            row["data"],
            f"{row['train']:.0f}",
            f"{row['rows']:.0f}",
            *(percent(row["achieved"].get(rate), 2) for rate in rates),
        ]
        for row in rows
    ]
    return text + "\n\n" + table(head, lines)


def _reduction(rows: Sequence[Document]) -> str:
    return words.REDUCTION + "\n\n" + _methods(rows)


def _denoising(rows: Sequence[Document]) -> str:
    return words.DENOISING + "\n\n" + _methods(rows)


def _methods(rows: Sequence[Document]) -> str:
    methods = list(dict.fromkeys(method for row in rows for method in row["value"]))
    sized = any("latent_size" in row for row in rows)
    lines = [
        [
            row["data"],
            *([str(row.get("latent_size", ""))] if sized else []),
            *(percent(row["value"].get(method), 1) for method in methods),
        ]
        for row in rows
    ]
    means = [mean([row["value"][method] for row in rows if method in row["value"]]) for method in methods]
    lines.append(["**mean**", *([""] if sized else []), *(percent(mean, 1) for mean in means)])
    return table(["set", *(["latent numbers"] if sized else []), *methods], lines)


def _ablation(rows: Sequence[Document]) -> str:
    return words.ABLATION + "\n\n" + _overridden("without", rows)


def _constants(rows: Sequence[Document]) -> str:
    return words.CONSTANTS + "\n\n" + _overridden("with", rows)


def _windows(rows: Sequence[Document]) -> str:
    return words.WINDOWS + "\n\n" + _overridden("without", rows)


def _overridden(title: str, rows: Sequence[Document]) -> str:
    groups = list(dict.fromkeys((row["folder"], row["protocol"]) for row in rows))
    sets = {(row["folder"], row["protocol"]): row["sets"] for row in rows if not row["part"]}
    at = {(row["folder"], row["protocol"], row["part"]): row for row in rows}
    lines = []
    for part in dict.fromkeys(row["part"] for row in rows):
        line = [part or "(nothing: AUROC / AUPRC)", next(row["instead"] for row in rows if row["part"] == part)]
        for folder, protocol in groups:
            row = at.get((folder, protocol, part))
            found = f", {row['found']:.0f} found" if row and "found" in row else ""
            if row is None:
                line.append("")
            elif part:
                error = "" if row["auprc_error"] is None else f" ± {100 * row['auprc_error']:.1f}"
                line.append(f"{100 * row['auprc_lost']:+.1f}{error} ({row['helps']} : {row['hurts']}){found}")
            else:
                line.append(f"{100 * row['auroc']:.1f} / {100 * row['auprc']:.1f}{found}")
        lines.append(line)
    head = [title, "instead", *(f"{', '.join(filter(None, group))}, {sets.get(group, 0)} sets" for group in groups)]
    return table(head, lines)


def _cost(rows: Sequence[Document]) -> str:
    lines = [[row["size"], f"{row['fit_seconds']:.1f}", f"{row['detect_us']:.2f}"] for row in rows]
    return words.COST + "\n\n" + table(["rows x features", "fit, seconds", "detect, microseconds a record"], lines)


_SECTIONS = {
    "tabular": _tabular,
    "ablation": _ablation,
    "constants": _constants,
    "calibration": _calibration,
    **SERIES_SECTIONS,
    "windows": _windows,
    "reduction": _reduction,
    "denoising": _denoising,
    "cost": _cost,
}
