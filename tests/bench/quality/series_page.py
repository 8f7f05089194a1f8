"""The sections of the page about time series."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.quality import words
from tests.bench.quality.cells import AESTREAM
from tests.bench.quality.markdown import Document, mean, percent, table

RATES = {"0.01": "1 %", "0.001": "0.1 %"}
_SHARES = ("auroc", "auprc", "vus_pr", "false_alarms", "hit100", "hit150", "chance100", "chance150")


def _series(rows: Sequence[Document]) -> str:
    own = [row for row in rows if row["detector"] == AESTREAM]
    lines = [_one_series(row["data"], row) for row in own]
    for folder in _folders(own):
        group = [row for row in own if _folder(row) == folder]
        means = {name: mean([row.get(name) for row in group]) for name in _SHARES}
        counts = {name: sum(row[name] for row in group) for name in ("found", "incidents")}
        lines.append(_one_series(f"**{folder}**", means | counts))
    head = ["series", "AUROC", "AUPRC", "VUS-PR", "found", "false alarms", "HitRate@100 %", "HitRate@150 %"]
    return "\n\n".join([words.SERIES, _compared(rows), words.EACH_SERIES, table(head, lines)])


def _compared(rows: Sequence[Document]) -> str:
    folders = _folders(rows)
    sizes = {folder: len({row["data"] for row in rows if _folder(row) == folder}) for folder in folders}
    lines = []
    for detector in dict.fromkeys(row["detector"] for row in rows):
        line = [detector]
        for folder in folders:
            own = [row for row in rows if row["detector"] == detector and _folder(row) == folder]
            partly = f" ({len(own)} series)" if 0 < len(own) < sizes[folder] else ""
            line += [percent(mean([row["auprc"] for row in own]), 1) + partly]
            line += [percent(mean([row["vus_pr"] for row in own]), 1)]
        lines.append(line)
    head = ["detector"]
    for folder in folders:
        head += [f"{folder}, {sizes[folder]} series: AUPRC", "VUS-PR"]
    return table(head, lines)


def _one_series(name: str, row: Document) -> list[str]:
    return [
        name,
        percent(row["auroc"], 1),
        percent(row["auprc"], 1),
        percent(row["vus_pr"], 1),
        f"{row['found']:.3g} of {row['incidents']:.0f}",
        percent(row["false_alarms"], 2),
        *(
            f"{percent(row[f'hit{share}'], 1)} ({percent(row[f'chance{share}'], 1)})" if row.get("hit100") else ""
            for share in (100, 150)
        ),
    ]


def _alarms(rows: Sequence[Document]) -> str:
    text = words.ALARMS
    for rate in dict.fromkeys(row["rate"] for row in rows):
        own = [row for row in rows if row["rate"] == rate]
        folders = list(own[0]["found"])
        lines = [
            [
                row["method"],
                f"{row['near']} of {row['series']}",
                f"{row['worst']:.1f}",
                *(f"{row['found'][folder]:.0f} of {row['incidents'][folder]:.0f}" for folder in folders),
                "" if row["delay"] is None else f"{row['delay']:.0f}",
                f"{row['episodes']:.1f}",
            ]
            for row in own
        ]
        found = (f"found: {folder}" for folder in folders)
        head = [f"at {RATES[rate]}", "series within 0.3 to 3 times", "worst, times", *found, "delay, rows", "episodes"]
        text += "\n\n" + table(head, lines)
    return text


def _bad_day(rows: Sequence[Document]) -> str:
    lines = [
        [
            row["method"],
            RATES[row["rate"]],
            f"{row['found']:.0f} of {row['incidents']:.0f}",
            "" if row["delay"] is None else f"{row['delay']:.1f}",
            percent(row["flagged"], 2),
            percent(row["calm"], 2),
            percent(row["auprc"], 1),
        ]
        for row in rows
    ]
    head = ["detector", "requested", "found", "delay, rows", "normal rows flagged", "calm rows flagged", "AUPRC"]
    return words.BAD_DAY + "\n\n" + table(head, lines)


def _storm(rows: Sequence[Document]) -> str:
    spacings, text = dict.fromkeys(row["data"].removeprefix("made/") for row in rows), words.STORM
    at = {(row["method"], row["rate"], row["data"].removeprefix("made/")): row for row in rows}
    lines = [
        [
            method,
            RATES[rate],
            *(
                f"{row['found']:.0f} of {row['incidents']:.0f} ({percent(row['calm'], 2)} %)"
                for row in (at[method, rate, spacing] for spacing in spacings)
            ),
        ]
        for method, rate in dict.fromkeys((row["method"], row["rate"]) for row in rows)
    ]
    return text + "\n\n" + table(["detector", "requested", *spacings], lines)


def _entities(rows: Sequence[Document]) -> str:
    ways = list(dict.fromkeys(way for row in rows for way in row["learnt"]))
    lines = [[row["data"], *(cell for way in ways for cell in _learnt(row["learnt"].get(way)))] for row in rows]
    for folder in _folders(rows):
        line = [f"**{folder}**"]
        for way in ways:
            own = [row["learnt"][way] for row in rows if _folder(row) == folder and way in row["learnt"]]
            counts = {name: sum(each[name] for each in own) for name in ("found", "incidents")}
            line += _learnt({"auprc": mean([each["auprc"] for each in own]), "times": None, **counts} if own else None)
        lines.append(line)
    head = ["server", *(cell for way in ways for cell in (f"{way}: AUPRC", "found", "times the rate"))]
    return words.ENTITIES + "\n\n" + table(head, lines)


def _learnt(figures: Document | None) -> list[str]:
    if figures is None:
        return [""] * 3
    times = "" if figures["times"] is None else f"{figures['times']:.1f}"
    return [percent(figures["auprc"], 1), f"{figures['found']:.0f} of {figures['incidents']:.0f}", times]


def _rig(rows: Sequence[Document]) -> str:
    lines = [[row["method"], *(percent(row[name], 1) for name in ("f1", "false_alarms", "missed"))] for row in rows]
    return words.RIG + "\n\n" + table(["detector", "F1", "false alarms", "missed"], lines)


def _folder(row: Document) -> str:
    return str(row["data"]).partition("/")[0]


def _folders(rows: Sequence[Document]) -> list[str]:
    return list(dict.fromkeys(map(_folder, rows)))


SERIES_SECTIONS: dict[str, Callable[[Sequence[Document]], str]] = {
    "series": _series,
    "alarms": _alarms,
    "bad day": _bad_day,
    "storm": _storm,
    "entities": _entities,
    "rig": _rig,
}
