"""A labelled recording of one entity: rows to train on, rows to stream, and what was wrong when."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from aestream.demo.incidents import Incident, from_causes, from_labels, within
from aestream.errors import ConfigurationError, DataError
from aestream.types import Flags, Vector

BUNDLED = Path(__file__).parent / "data" / "broker-telemetry.npz"
TRAINING_SHARE = 0.6  # of a file that does not mark its training rows
_LABELS = ("label", "anomaly", "is_anomaly")
_NEVER_SENT = frozenset({*_LABELS, "changepoint"})  # whoever knows these needs no detector


@dataclass(frozen=True, slots=True)
class Recording:
    """Rows in time order: `train` (n, d) and `test` (m, d) of the features `names`; `label` (m,) marks incidents.

    `train_times` (n,) and `test_times` (m,) are in seconds since 1970, None if the file does not say. `left_out` names
    the columns of the file that are not numeric.
    """

    source: str
    names: tuple[str, ...]
    train: NDArray[np.floating[Any]]
    test: NDArray[np.floating[Any]]
    label: Flags
    incidents: tuple[Incident, ...]
    left_out: tuple[str, ...] = ()
    train_times: Vector | None = None
    test_times: Vector | None = None


def load(path: Path | None, label: str | None = None) -> Recording:
    """Read the recording at `path`, or the bundled one; `label` names the label column of a table.

    Raises DataError when the file cannot be used, ConfigurationError for an unknown format.
    """
    path = path or BUNDLED
    if not path.is_file():
        hint = "the package is incomplete: reinstall it, or pass --data" if path == BUNDLED else "check --data"
        raise DataError(f"there is no recording {path}: {hint}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        found = _from_arrays(path)
    elif suffix in (".csv", ".parquet", ".pq"):
        found = _from_table(path, label)
    else:
        raise ConfigurationError(f"--data {path}: unknown format; the suffix must be .npz, .csv or .parquet")
    if not len(found.train) or not len(found.test):
        raise DataError(f"{path} holds too few rows: {len(found.train)} to train on, {len(found.test)} to stream")
    return found


def _from_arrays(path: Path) -> Recording:
    """An npz with `train`, `test` and `label`, or `X` and `y` in time order.

    `features`, `causes`, `incidents`, `timestamps_train` and `timestamps_test` are optional.
    """
    try:
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if {"X", "y"} <= arrays.keys():
        arrays |= _divided(arrays["X"], arrays["y"])
    missing = [key for key in ("train", "test", "label") if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: it must hold train, test and label (for test), or X and y")
    train, test, label = arrays["train"], arrays["test"], np.asarray(arrays["label"]).ravel() != 0
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1] or len(label) != len(test):  # noqa: PLR2004
        raise DataError(f"{path}: train {train.shape}, test {test.shape} and label {label.shape} do not fit together")
    width = test.shape[1]
    names = tuple(map(str, arrays.get("features", [f"feature_{i}" for i in range(1, width + 1)])))
    if len(set(names)) != width:
        raise DataError(f"{path}: `features` must hold {width} different names, one per column, not {len(set(names))}")
    causes = arrays.get("causes", arrays.get("interpretation"))
    if causes is None:
        incidents = from_labels(label)
    else:
        lines = "\n".join(map(str, np.atleast_1d(causes)))
        incidents = from_causes(lines, names, tuple(map(str, arrays.get("incidents", ()))))
    times = arrays.get("timestamps_train"), arrays.get("timestamps_test")
    return Recording(path.name, names, train, test, label, within(incidents, len(test)), (), *times)


def _from_table(path: Path, label: str | None) -> Recording:
    """A CSV (comma or semicolon) or Parquet file with a label column, in time order."""
    try:
        table = _csv(path) if path.suffix.lower() == ".csv" else pyarrow.parquet.read_table(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    chosen = label or next((name for name in _LABELS if name in table.column_names), None)
    if chosen is None or chosen not in table.column_names:
        raise DataError(
            f"{path} has no label column {chosen or ' or '.join(_LABELS)}: name it with --label; "
            f"the columns are {', '.join(table.column_names[:20])}"
        )
    columns = {name: table.column(name) for name in table.column_names if name not in {chosen, *_NEVER_SENT}}
    numbers = {name: _numbers(column) for name, column in columns.items() if _is_number(column.type)}
    if not numbers:
        raise DataError(f"{path} has no column of numbers besides the label {chosen}")
    marks = table.column(chosen)
    if not _is_number(marks.type):
        raise DataError(
            f"{path}: the label {chosen} is of type {marks.type}; it must be a number or a flag, 0 for normal"
        )
    parts = _divided(np.column_stack(list(numbers.values())), _numbers(marks))
    flags = parts["label"] != 0
    left_out = tuple(name for name in columns if name not in numbers)
    names = tuple(numbers)
    return Recording(path.name, names, parts["train"], parts["test"], flags, from_labels(flags), left_out)


def _divided(rows: NDArray[Any], label: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Train on the first part, whatever its labels: in production nobody would know them either."""
    count = int(TRAINING_SHARE * len(rows))
    return {"train": rows[:count], "test": rows[count:], "label": np.asarray(label)[count:]}


def _csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8") as file:
        head = file.readline()
    delimiter = max(",;\t", key=head.count)
    return pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _numbers(column: pa.ChunkedArray) -> Vector:
    """A column as float64, with NaN for missing values."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
