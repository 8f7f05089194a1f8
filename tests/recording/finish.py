"""From raw recordings to the bundled file: which columns and rows stay, the smoothing, the labels, the causes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aestream.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LARGEST_FILE = 2_000_000
# Rates and times are given over the last seconds, as monitoring systems do, not over a single one.
WINDOW = 5
# Recorded, and left out of the bundle, with the reason.
LEFT_OUT = {
    "host_disk_write_bytes_per_second": "the whole machine's: it tells of whatever else runs there",
    "host_loopback_bytes_per_second": "the whole machine's: it tells of whatever else runs there",
    "host_cpu_steal_percent": "the hypervisor's: it tells of other machines",
    "client_producer_resident_megabytes": "only grows: freed memory is kept by the process",
    "client_consumer_resident_megabytes": "keeps what a long stop left in the clients' buffers: its growth is given",
    "process_resident_megabytes": "only grows: the heap is fixed, and touched before the first row",
    "process_open_files": "drifts with the ages of log segments, and keeps what a fault added",
    "process_disk_read_bytes_per_second": "0 nearly always: what the broker reads is in the page cache",
    "jvm_threads": "one number nearly always",
    "jvm_heap_after_gc_megabytes": "0 for the old generation until its first collection, after half an hour",
    "broker_fetch_local_time_ms": "too short to be measured well",
    "broker_fetch_send_time_ms": "too short to be measured well",
    "broker_produce_send_time_ms": "too short to be measured well",
    "broker_purgatory_produce_size": "always 0 with one broker",
}


@dataclass(frozen=True)
class Part:
    """One raw recording: smoothed values (rows, columns), seconds, which rows stay, incidents by their rows."""

    names: list[str]
    values: NDArray[np.float64]
    timestamps: NDArray[np.float64]
    kept: NDArray[np.bool_]
    train_rows: int
    incidents: list[dict[str, Any]]


def finish(raws: Sequence[Path], out: Path) -> dict[str, int]:
    """Write `out` (npz) from raw recordings in order of time; return counts of rows, features and incidents.

    The training part is the first recording's; the test part is what follows in all of them. The JSON beside a raw
    recording may name rows to leave out: `"without": [[first, last], ...]`, both included.

    Keys: train, test (float32, rows x features), label (uint8, of test), features, causes (lines
    `start-end:dims`, rows of test with both ends included, dims 1-based), incidents (a name for each line of
    causes), timestamps_train, timestamps_test (epoch seconds). Raises DataError when a recording is damaged
    or the file too large.
    """
    parts = [read(raw) for raw in raws]
    first = parts[0]
    if any(sorted(part.names) != sorted(first.names) for part in parts):
        raise DataError("the recordings hold different metrics: finish those of one version together")
    trained = first.kept & (np.arange(len(first.kept)) < first.train_rows)
    tested = [part.kept & (np.arange(len(part.kept)) >= part.train_rows) for part in parts]
    # A recording names its metrics in the order in which it first read them.
    values = [part.values[:, [part.names.index(name) for name in first.names]] for part in parts]
    columns = kept_columns(first.names, np.concatenate(values))
    features = [first.names[column] for column in columns]
    causes, names = _causes(parts, tested, features)
    test = np.concatenate([value[rows] for value, rows in zip(values, tested, strict=True)])
    np.savez_compressed(
        out,
        train=first.values[trained][:, columns].astype(np.float32),
        test=test[:, columns].astype(np.float32),
        label=labels_of(causes, len(test)),
        features=np.array(features),
        causes=np.array("\n".join(causes)),
        incidents=np.array(names),
        timestamps_train=first.timestamps[trained],
        timestamps_test=np.concatenate([part.timestamps[rows] for part, rows in zip(parts, tested, strict=True)]),
    )
    if out.stat().st_size > LARGEST_FILE:
        raise DataError(f"{out}: {out.stat().st_size} bytes, more than {LARGEST_FILE}: record fewer metrics")
    return {"train": int(trained.sum()), "test": len(test), "features": len(features), "incidents": len(names)}


def read(raw: Path) -> Part:
    """Read the CSV `raw` and the JSON beside it. Raises DataError when they cannot be used."""
    with raw.open(newline="") as file:
        header = next(csv.reader(file))
    table = np.loadtxt(raw, delimiter=",", skiprows=1, ndmin=2)
    log = json.loads(raw.with_suffix(".incidents.json").read_text())
    train_rows = int(log["train_rows"])
    if not np.isfinite(table).all():
        raise DataError(f"{raw}: a value is not finite: record again")
    if train_rows >= len(table):
        raise DataError(f"{raw}: {len(table)} rows end before the test part, which starts at {train_rows}")
    last = len(table) - 1
    kept = np.ones(len(table), bool)
    for begin, end in log.get("without", []):
        kept[begin : end + 1] = False
    recorded = np.zeros(len(table), np.uint8)
    incidents = []
    for incident in log["incidents"]:
        start, end = train_rows + incident["start"], train_rows + incident["end"]
        recorded[start : end + 1] = 1
        incidents.append(incident | {"start": start, "end": min(end + WINDOW - 1, last)})
    if not np.array_equal(table[:, 1], recorded):
        raise DataError(f"{raw}: labels and incidents do not agree: record again")
    return Part(header[2:], trailing_mean(table[:, 2:], WINDOW), table[:, 0], kept, train_rows, incidents)


def trailing_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the means of the last `window` rows at each row, of fewer at the start; (rows, columns) as given."""
    total = np.cumsum(np.vstack([np.zeros((1, values.shape[1])), values]), axis=0)
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(0, end - window)
    return np.asarray((total[end] - total[begin]) / (end - begin)[:, None])


def kept_columns(names: list[str], values: NDArray[np.float64]) -> list[int]:
    """Return the columns of the bundle: metrics that ever change and are not left out."""
    changes = values.max(axis=0) > values.min(axis=0)
    return [column for column, name in enumerate(names) if name not in LEFT_OUT and changes[column]]


def labels_of(causes: list[str], rows: int) -> NDArray[np.uint8]:
    """Return the labels that the lines of `causes` amount to, (rows,)."""
    label = np.zeros(rows, np.uint8)
    for line in causes:
        start, end = line.split(":")[0].split("-")
        label[int(start) : int(end) + 1] = 1
    return label


def _causes(parts: list[Part], tested: list[NDArray[np.bool_]], features: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines of causes and the names of the incidents that stay, by rows of the joined test part."""
    causes, names, offset = [], [], 0
    for part, rows in zip(parts, tested, strict=True):
        number = offset + np.cumsum(rows) - 1
        for incident in part.incidents:
            start, end = incident["start"], incident["end"]
            if rows[start : end + 1].all():
                dims = ",".join(str(at) for at, name in enumerate(features, 1) if name in incident["shows"])
                causes.append(f"{number[start]}-{number[end]}:{dims}")
                names.append(f"{incident['name']} ({incident['kind']})")
            elif rows[start : end + 1].any():
                raise DataError(f"{incident['name']}: only some of its rows are left out: leave out all or none")
        offset += int(rows.sum())
    return causes, names
