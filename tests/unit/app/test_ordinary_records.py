"""Records as people have them, through `train` and `score`: nothing is flagged but what is wrong, or training says why.

Each kind is a function of the row's number that adds fields to records of four correlated gauges. Nothing is wrong in
the later half unless the kind says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aestream.cli import main

ROWS = 2_000  # in each half
RATE = 0.01
Row = Mapping[str, Any]
Kind = Callable[[int], Row]

rng = np.random.default_rng(5)
GAUGES = (rng.normal(size=(2 * ROWS, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(2 * ROWS, 4))) * 8 + 40
STEPS = rng.integers(200, 4_000, (5, 2 * ROWS))
COUNTERS = np.cumsum(STEPS, axis=1)
JITTER = rng.integers(0, 90, 2 * ROWS)
LOOK = ("load", "heap", "disk", "wait")


def restarts(*rows: int) -> list[int]:
    """A counter that starts again at these rows."""
    parts: list[int] = np.concatenate([np.cumsum(part) for part in np.split(STEPS[0], rows)]).tolist()
    return parts


RESTARTED = restarts(300, 1500, 2900)
SWAPPED = COUNTERS[0].tolist()
for place in range(0, 2 * ROWS, 40):
    SWAPPED[place : place + 2] = SWAPPED[place + 1], SWAPPED[place]


def hosts(i: int) -> Row:
    host = i * 7 % 5
    return {"node": f"n{host}", "rx_bytes": int(COUNTERS[host, i // 5]) + 10_000_000 * host}


# kind -> the fields of a row, and what the table must say of the last of them, or None where it is used
HARMLESS: Mapping[str, tuple[Kind, str | None]] = {
    "counters of five hosts": (hosts, "a counter"),
    "counters of five hosts without a label": (lambda i: {"rx": hosts(i)["rx_bytes"]}, "a counter"),
    "a counter that restarts": (lambda i: {"requests": RESTARTED[i]}, "a counter"),
    "a counter with records swapped": (lambda i: {"requests": SWAPPED[i]}, "a counter"),
    "a counter that seldom rises": (lambda i: {"failures": i // 330}, "a counter"),
    "a counter with a fraction": (lambda i: {"cpu_s": 0.013 * int(COUNTERS[1, i])}, "a counter"),
    "a counter in quotes": (lambda i: {"requests": str(RESTARTED[i])}, "a counter"),
    "a clock": (lambda i: {"seen": int(1_760_000_000 + 11 * i - JITTER[i])}, "a timestamp"),
    "a clock in ns": (lambda i: {"t": int(1_760_000_000 + 11 * i - JITTER[i]) * 10**9}, "a timestamp"),
    "pods of a deployment": (lambda i: {"pod": f"api-{'7c9d8b5f'[i // 700 :]}-{i % 4}"}, "come and go"),
    "versions": (lambda i: {"version": f"2.{i // 600}.1"}, "come and go"),
    "dates as text": (lambda i: {"day": f"{1 + i // 400:02d}.10.2026"}, "a date"),
    "numbers in quotes": (lambda i: {"ms": f"{GAUGES[i, 0]:.2f}"}, None),
    "words for nothing": (lambda i: {"ms": "N/A" if i % 500 == 3 else GAUGES[i, 0]}, None),
    "a constant that stays": (lambda _: {"errors": 0, "up": True, "limit": 0.1 + 0.2}, None),
    "a new value of a category late": (lambda i: {"zone": "abc"[i % 3] if i < 3_500 else "d"}, None),
    "a part of the day": (
        lambda i: {"rps": 100 + 80 * np.sin(2 * np.pi * i / 30_000) + 0.5 * GAUGES[i, 0] % 1},
        "rises",
    ),
    "a disk that fills": (lambda i: {"full": 40 + 0.01 * i}, "rises"),
    "NaN in a field that is not used": (lambda i: {"note": float("nan") if i % 3 else f"run {i}"}, "missing"),
}
WRONG: Mapping[str, Kind] = {
    "errors where there were none": lambda i: {"errors": 0 if i < ROWS else 500},
    "what was up is down": lambda i: {"up": i < ROWS},
    "a setting in quotes changes": lambda i: {"limit": "20.5" if i < ROWS else "20.7"},
}


def telemetry(folder: Path, kind: Kind) -> tuple[Path, Path]:
    """The two halves of the records as files."""
    rows = [{**dict(zip(LOOK, map(float, gauges.round(3)), strict=True)), **kind(i)} for i, gauges in enumerate(GAUGES)]
    halves = folder / "earlier.jsonl", folder / "later.jsonl"
    for path, part in zip(halves, (rows[:ROWS], rows[ROWS:]), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in part))
    return halves


def flagged(folder: Path, kind: Kind, *settings: str) -> float:
    """The share of the later half that a model of the earlier one flags. Every record has a result."""
    earlier, later = telemetry(folder, kind)
    wanted = (f"model.store={folder / 'models'}", f"threshold.false_alarm_rate={RATE}", *settings)
    there = [word for setting in wanted for word in ("--set", setting)]
    assert main(["train", str(earlier), *there]) == 0
    assert main(["score", str(later), "-o", str(folder / "scores.jsonl"), *there]) == 0
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return float(np.mean([row["anomaly"] for row in rows if row.get("anomaly") is not None]))


@pytest.mark.parametrize("window", ["auto", "1"])
@pytest.mark.parametrize("name", HARMLESS)
def test_nothing_is_flagged_where_nothing_is_wrong(
    name: str, window: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    kind, reason = HARMLESS[name]
    assert flagged(tmp_path, kind, f"features.window={window}") <= 5 * RATE
    said = capsys.readouterr().out
    table = [line for line in said.splitlines() if not line.startswith("note: ")]
    (line,) = [line for line in table if f" {list(kind(0))[-1]} " in line.replace("│", " │ ")]
    if window == "auto" and " rate " in line:  # what only rises has a rate where entities are remembered
        assert reason in {"a counter", "rises"}, said
        return
    assert ("left out" in line) is (reason is not None), said
    assert reason is None or reason in line, said


@pytest.mark.parametrize("name", WRONG)
def test_a_constant_that_moves_is_an_anomaly(name: str, tmp_path: Path) -> None:
    assert flagged(tmp_path, WRONG[name]) == 1.0


def test_a_model_is_not_used_where_records_are_found_in_messages_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier, later = telemetry(tmp_path, lambda _: {"name": "a=b"})
    there = ["--set", f"model.store={tmp_path / 'models'}"]
    assert main(["train", str(earlier), *there, "--set", 'records.where={"name": "a=b"}']) == 0
    capsys.readouterr()
    assert main(["score", str(later), "-o", str(tmp_path / "s.csv"), *there]) == 1
    said = capsys.readouterr().err
    assert "trained with AESTREAM_RECORDS__WHERE=name=a=b, and here it is not set" in said
    assert main(["score", str(later), "-o", str(tmp_path / "s.csv"), *there, "--set", "records.where=name=a"]) == 1
    assert "and here it is name=a: set it as it was, or train again" in capsys.readouterr().err
