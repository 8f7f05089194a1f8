"""The recording: one row a second to a CSV file, the incidents to a JSON file beside it."""

from __future__ import annotations

import csv
import json
import time
from typing import TYPE_CHECKING

from tests.recording.faults import FAULTS
from tests.recording.incidents import Injector, Limits, attempt, schedule
from tests.recording.scene import Drive, Sampler, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.recording.faults import Fault

TRAIN_SHARE = 0.6
WARM_UP_SECONDS = 240
PROGRESS_SECONDS = 30


def record(
    rows: int, raw: Path, *, cpu: int = 0, warm_up: int = WARM_UP_SECONDS, faults: Sequence[Fault] = FAULTS
) -> None:
    """Record `rows` seconds after `warm_up` seconds of load, on processor `cpu`.

    `raw` (CSV: time, label, metrics) grows row by row, and so does the JSON of incidents beside it: a crash
    leaves what was recorded. Raises TransportError when the broker does not start.
    """
    train = int(TRAIN_SHARE * rows)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with running(cpu, raw.with_suffix(".broker.log")) as scene, raw.open("w", newline="") as file:
        sampler, drive, limits = Sampler(scene), Drive(), Limits()
        injector = Injector(schedule(rows - train, faults), scene.stage, limits)
        writer = csv.writer(file)
        origin = time.monotonic()
        for second in range(-warm_up, rows):
            if second >= train:
                injector.before(second - train)
            attempt("load", lambda at=float(second): drive.step(scene.stage, at))  # type: ignore[misc]
            # The clock is kept by deadlines: a slow row is not paid for by all that follow.
            time.sleep(max(0.0, origin + second + warm_up + 1 - time.monotonic()))
            row = sampler.row()
            if second < 0:
                continue
            if second == 0:
                names = list(row)
                writer.writerow(["time", "label", *names])
            label = injector.after(second - train, row) if second >= train else 0
            if second < train:
                limits.learn(row)
            writer.writerow([f"{time.time():.3f}", label, *(f"{row[name]:.6g}" for name in names)])
            file.flush()
            if label:
                _write_incidents(raw, train, injector)
            if second % PROGRESS_SECONDS == 0:
                faulty, missed = len(injector.incidents), sampler.misses
                _tell(f"row {second} of {rows}, {faulty} faults, {missed} scrapes missed")
        _write_incidents(raw, train, injector)


def _write_incidents(raw: Path, train: int, injector: Injector) -> None:
    log = {"train_rows": train, "incidents": [incident.asdict() for incident in injector.incidents]}
    raw.with_suffix(".incidents.json").write_text(json.dumps(log, indent=1))


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
