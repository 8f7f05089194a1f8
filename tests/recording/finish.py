"""From a raw recording to the bundled file: which columns stay, the smoothing, the labels, the causes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aestream.errors import DataError

if TYPE_CHECKING:
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
class Raw:
    """A raw recording: smoothed values (rows, columns), seconds, incidents by their rows."""

    names: list[str]
    values: NDArray[np.float64]
    timestamps: NDArray[np.float64]
    train_rows: int
    incidents: list[dict[str, Any]]


def finish(raw: Path, out: Path) -> dict[str, int]:
    """Write `out` (npz) from a raw recording; return counts of rows, features and incidents.

    Keys: train, test (float32, rows x features), label (uint8, of test), features, causes (lines
    `start-end:dims`, rows of test with both ends included, dims 1-based), incidents (a name for each line of
    causes), timestamps_train, timestamps_test (epoch seconds). Raises DataError when the recording is damaged
    or the file too large.
    """
    recorded = read(raw)
    columns = kept_columns(recorded.names, recorded.values)
    features = [recorded.names[column] for column in columns]
    values = recorded.values[:, columns].astype(np.float32)
    train, test = np.split(values, [recorded.train_rows])
    causes = [_cause(incident, recorded.train_rows, features) for incident in recorded.incidents]
    np.savez_compressed(
        out,
        train=train,
        test=test,
        label=labels_of(causes, len(test)),
        features=np.array(features),
        causes=np.array("\n".join(causes)),
        incidents=np.array([f"{incident['name']} ({incident['kind']})" for incident in recorded.incidents]),
        timestamps_train=recorded.timestamps[: recorded.train_rows],
        timestamps_test=recorded.timestamps[recorded.train_rows :],
    )
    if out.stat().st_size > LARGEST_FILE:
        raise DataError(f"{out}: {out.stat().st_size} bytes, more than {LARGEST_FILE}: record fewer metrics")
    return {"train": len(train), "test": len(test), "features": len(features), "incidents": len(causes)}


def read(raw: Path) -> Raw:
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
    recorded = np.zeros(len(table), np.uint8)
    incidents = []
    for incident in log["incidents"]:
        start, end = train_rows + incident["start"], train_rows + incident["end"]
        recorded[start : end + 1] = 1
        incidents.append(incident | {"start": start, "end": min(end + WINDOW - 1, last)})
    if not np.array_equal(table[:, 1], recorded):
        raise DataError(f"{raw}: labels and incidents do not agree: record again")
    return Raw(header[2:], trailing_mean(table[:, 2:], WINDOW), table[:, 0], train_rows, incidents)


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


def _cause(incident: dict[str, Any], first: int, features: list[str]) -> str:
    """Return an incident's line of `causes`; `first` is the test part's first row."""
    dims = ",".join(str(at) for at, name in enumerate(features, 1) if name in incident["shows"])
    return f"{incident['start'] - first}-{incident['end'] - first}:{dims}"
