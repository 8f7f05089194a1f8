"""Where the labelled data are: a directory outside the repository, with folders of npz and CSV files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyarrow import csv

from aestream.demo.dataset import Recording, load
from aestream.errors import ConfigurationError, DataError

Rows: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.bool_]

TABULAR = ("adbench", "adbench_more")
# Folders of time series, and the seconds between the rows where they are known.
SERIES: dict[str, float | None] = {"asd": 300.0, "smd": 60.0, "nasa_msl": None}
RIG = "skab"
# The demo's own recording, which is part of the package: a bad day, with 23 faults in 2,400 rows.
DEMO = "demo/broker-telemetry"
VARIABLE = "AESTREAM_BENCH_DATA"
LAYOUT = (
    "it must hold adbench/*.npz and adbench_more/*.npz (arrays X and y, 1 for anomalies: ADBench's Classical sets), "
    "asd/*.npz, smd/*.npz and nasa_msl/*.npz (arrays train, test, label, and for the first two causes or "
    "interpretation: lines of start-end:dims), skab/valve1/*.csv and skab/valve2/*.csv (semicolons; columns datetime, "
    "the sensors, anomaly, changepoint)"
)


@dataclass(frozen=True, slots=True)
class Library:
    """The data directory; a folder that is missing counts as empty, as long as there is another one."""

    root: Path

    @classmethod
    def at(cls, root: str | None) -> Library:
        """Open the directory.

        Raises:
            ConfigurationError: when none is named, or it holds none of the folders.

        """
        if not root:
            raise ConfigurationError(f"no data: name their directory with --data or {VARIABLE}; {LAYOUT}")
        library = cls(Path(root))
        if not any((*library.tables(), *library.recordings(), *library.rigs())):
            raise ConfigurationError(f"{root} holds no data: {LAYOUT}")
        return library

    def names(self, folder: str) -> list[str]:
        """The data sets of a folder as folder/name, in order of their names."""
        return sorted(f"{folder}/{path.stem}" for path in (self.root / folder).glob("*.npz"))

    def tables(self) -> list[str]:
        """The tabular data sets."""
        return [name for folder in TABULAR for name in self.names(folder)]

    def recordings(self) -> list[str]:
        """The time series."""
        return [name for folder in SERIES for name in self.names(folder)]

    def rigs(self) -> list[str]:
        """The recordings of SKAB's test rig with a valve closed, as skab/folder/name."""
        files = (self.root / RIG).glob("valve*/*.csv")
        return sorted((f"{RIG}/{path.parent.name}/{path.stem}" for path in files), key=_by_number)

    def table(self, name: str) -> tuple[Rows, Labels]:
        """Return the rows (n, d) of a tabular set, and which of them are anomalies (n,)."""
        return _table(self.root / f"{name}.npz")

    def normal_rows(self, name: str) -> int:
        """Count the normal rows of a tabular set."""
        with np.load(self.root / f"{name}.npz", allow_pickle=False) as file:
            return int((file["y"] <= 0).sum())

    def recording(self, name: str) -> Recording:
        """Return a time series with its labelled incidents."""
        return _recording(None if name == DEMO else self.root / f"{name}.npz")

    def rig(self, name: str) -> tuple[Rows, Labels, Rows]:
        """Return the rows (n, d) of a file of the test rig, which are anomalies (n,), and when (n,), in seconds."""
        table = csv.read_csv(self.root / f"{name}.csv", parse_options=csv.ParseOptions(delimiter=";"))
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        seconds = columns.pop("datetime").astype("datetime64[s]").astype(np.float64)
        label = columns.pop("anomaly") > 0
        del columns["changepoint"]
        return np.column_stack(list(columns.values())).astype(np.float64), label, seconds


def _by_number(name: str) -> tuple[str, int]:
    folder, _, number = name.rpartition("/")
    return folder, int(number)


@lru_cache(maxsize=1)
def _table(path: Path) -> tuple[Rows, Labels]:
    with np.load(path, allow_pickle=False) as file:
        if not {"X", "y"} <= set(file.files):
            raise DataError(f"{path} holds {', '.join(file.files)}: it must hold X and y")
        return file["X"].astype(np.float64), file["y"].ravel() > 0


@lru_cache(maxsize=1)
def _recording(path: Path | None) -> Recording:
    return load(path)
