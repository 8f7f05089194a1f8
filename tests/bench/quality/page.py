"""From the document to the page docs/detection-quality.md, and to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.bench.quality.ablation import OVERRIDES
from tests.bench.quality.cells import AESTREAM

Document = dict[str, Any]
RATES = {"0.01": "1 %", "0.001": "0.1 %"}
# The false-alarm rate of a set is told from so many rows on: of fewer, one row is too large a share.
MANY_ROWS = 1_000


def render(made: Document) -> str:
    """Return the page."""
    sections = [_SECTIONS[part](made[part]) for part in _SECTIONS if part in made]
    return "\n\n".join([_head(made), *sections]) + "\n"


def _head(made: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    seeds = ", ".join(map(str, made["seeds"]))
    return f"""\
# Detection quality

How well aestream detects, with its defaults and without labels, beside other detectors with their defaults in the same run; which of its parts
earn their place; whether it keeps the false-alarm rate that was asked for; and what its autoencoder does for the other two uses. Written by

    {made["command"]}

Seeds: {seeds}. {versions}. {made["machine"]}, one thread each. The same figures, set by set: [detection-quality.json](detection-quality.json).
The data are public and not part of this repository; `--data` says what they must look like."""


def _tabular(rows: Sequence[Document]) -> str:
    text = """\
## Tables

The sets are ADBench's Classical ones (Han et al. 2022), in two folders. *Novelty*: learn from a random half of the normal rows, judge the other half and all
anomalies. *Contaminated*: learn from 70 % of all rows, anomalies among them and not marked, judge the rest. At most 6,000 rows of a set, standardised by the training rows.
Means over sets and seeds, in per cent. Wins: sets on which a detector has the best AUPRC."""
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
        text += "\n\n" + _table(head, lines)
    return text


def _ranked(row: Document) -> list[str]:
    partly = f" ({row['sets']} sets)" if row["sets"] < row["all_sets"] else ""
    return [f"{100 * row['auroc']:.1f}", f"{100 * row['auprc']:.1f}{partly}", str(row["wins"])]


def _calibration(rows: Sequence[Document]) -> str:
    rates = [rate for rate in RATES if any(rate in row["achieved"] for row in rows)]
    lines = [
        [
            row["data"],
            f"{row['train']:.0f}",
            f"{row['rows']:.0f}",
            *(_percent(row["achieved"].get(rate), 2) for rate in rates),
        ]
        for row in rows
    ]
    told = []
    for rate in rates:
        many = [row["achieved"][rate] for row in rows if row["rows"] >= MANY_ROWS and rate in row["achieved"]]
        if many:
            near = sum(0.5 <= achieved / float(rate) <= 1.5 for achieved in many)  # noqa: PLR2004
            told.append(
                f"At a requested {RATES[rate]}: {near} of {len(many)} sets within half and one and a half of it, "
                f"median {_percent(float(np.median(many)), 2)} %, worst {_percent(max(many), 2)} %."
            )
    return "\n\n".join(
        [
            "## False alarms\n\nThe share of held-out normal rows that are flagged (novelty protocol, mean over seeds), "
            "in per cent, against the rate that was asked for.\n"
            f"Of sets with {MANY_ROWS:,} held-out rows or more:",
            *told,
            _table(["set", "training rows", "held-out rows", *(f"{RATES[rate]} becomes" for rate in rates)], lines),
        ]
    )


def _series(rows: Sequence[Document]) -> str:
    names = ("auroc", "auprc", "hit100", "hit150", "false_alarms")
    lines = [
        [
            row["data"],
            *(_percent(row[name], 1) for name in names[:2]),
            f"{row['found']:.0f} of {row['incidents']:.0f}",
            _percent(row["false_alarms"], 2),
            *(_percent(row[name], 1) for name in names[2:4]),
        ]
        for row in rows
    ]
    for folder in dict.fromkeys(row["data"].partition("/")[0] for row in rows):
        own = [row for row in rows if row["data"].startswith(f"{folder}/")]
        mean = {name: _mean([row[name] for row in own]) for name in names}
        counts = [sum(row[name] for row in own) for name in ("found", "incidents")]
        lines.append(
            [
                f"**{folder}, mean**",
                *(_percent(mean[name], 1) for name in names[:2]),
                "{:.0f} of {:.0f}".format(*counts),
                _percent(mean["false_alarms"], 2),
                *(_percent(mean[name], 1) for name in names[2:4]),
            ]
        )
    text = """\
## Time series

Learnt from the training half, judged row by row: a row's score sees no other row. *Found*: incidents with a flagged row, at a requested false-alarm rate of 1 %; *false
alarms*: the share of normal rows flagged then. *HitRate*: for each incident whose causes are known, the part of its n causes among the n (1.5 n) features that are blamed most
over its rows. No point adjustment anywhere. In per cent."""
    head = ["series", "AUROC", "AUPRC", "found", "false alarms", "HitRate@100 %", "HitRate@150 %"]
    return text + "\n\n" + _table(head, lines)


def _reduction(rows: Sequence[Document]) -> str:
    text = """\
## Fewer dimensions

The share of the variance of held-out normal rows that is kept by a latent vector a third as long as the row, in per cent. Higher is better."""
    return text + "\n\n" + _methods(rows)


def _denoising(rows: Sequence[Document]) -> str:
    text = """\
## Less noise

Gaussian noise of half a standard deviation is added to held-out normal rows: the share of its energy that is left after denoising, in per cent. Lower is better. PCA has the number of
components that is best for these rows, the Wiener filter is the best that a linear method can do on average."""
    return text + "\n\n" + _methods(rows)


def _methods(rows: Sequence[Document]) -> str:
    methods = list(dict.fromkeys(method for row in rows for method in row["value"]))
    sized = any("latent_size" in row for row in rows)
    lines = [
        [
            row["data"],
            *([str(row.get("latent_size", ""))] if sized else []),
            *(_percent(row["value"].get(method), 1) for method in methods),
        ]
        for row in rows
    ]
    means = [_mean([row["value"][method] for row in rows if method in row["value"]]) for method in methods]
    lines.append(["**mean**", *([""] if sized else []), *(_percent(mean, 1) for mean in means)])
    return _table(["set", *(["latent numbers"] if sized else []), *methods], lines)


def _ablation(rows: Sequence[Document]) -> str:
    groups = list(dict.fromkeys((row["folder"], row["protocol"]) for row in rows))
    at = {(row["folder"], row["protocol"], row["part"]): row for row in rows}
    lines = []
    for part in dict.fromkeys(row["part"] for row in rows):
        line = [part or AESTREAM, OVERRIDES[part].says if part in OVERRIDES else "the whole: AUROC / AUPRC"]
        for folder, protocol in groups:
            row = at.get((folder, protocol, part))
            if row is None:
                line.append("")
            elif part:
                line.append(f"{100 * row['auprc_lost']:+.1f} ({row['helps']} : {row['hurts']})")
            else:
                line.append(f"{100 * row['auroc']:.1f} / {100 * row['auprc']:.1f}")
        lines.append(line)
    text = """\
## What each part is worth

aestream without one of its parts, one seed: the AUPRC that the part gains, in points, mean over sets; and on how many sets it helps and hurts."""
    head = ["without", "instead", *(f"{folder}, {protocol}" for folder, protocol in groups)]
    return text + "\n\n" + _table(head, lines)


def _cost(rows: Sequence[Document]) -> str:
    lines = [[row["size"], f"{row['fit_seconds']:.1f}", f"{row['detect_us']:.2f}"] for row in rows]
    text = """\
## Cost

On one thread: a fit, and `detect` in batches of 5,000 records."""
    return text + "\n\n" + _table(["rows x features", "fit, seconds", "detect, microseconds a record"], lines)


_SECTIONS = {
    "tabular": _tabular,
    "ablation": _ablation,
    "calibration": _calibration,
    "series": _series,
    "reduction": _reduction,
    "denoising": _denoising,
    "cost": _cost,
}


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _percent(value: float | None, digits: int) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
