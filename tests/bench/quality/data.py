"""Where the labelled data are: a directory outside the repository, with folders of npz files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aestream.demo.dataset import Recording, load
from aestream.errors import ConfigurationError, DataError

Rows: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.bool_]

TABULAR = ("adbench", "adbench_more")
SERIES = ("asd", "smd")
VARIABLE = "AESTREAM_BENCH_DATA"
LAYOUT = (
    "it must hold adbench/*.npz and adbench_more/*.npz (arrays X and y, 1 for anomalies: ADBench's Classical sets), "
    "asd/*.npz and smd/*.npz (arrays train, test, label, and causes or interpretation: lines of start-end:dims)"
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
        if not any(library.names(folder) for folder in (*TABULAR, *SERIES)):
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

    def table(self, name: str) -> tuple[Rows, Labels]:
        """Return the rows (n, d) of a tabular set, and which of them are anomalies (n,)."""
        return _table(self.root / f"{name}.npz")

    def normal_rows(self, name: str) -> int:
        """Count the normal rows of a tabular set."""
        with np.load(self.root / f"{name}.npz", allow_pickle=False) as file:
            return int((file["y"] <= 0).sum())

    def recording(self, name: str) -> Recording:
        """Return a time series with its labelled incidents."""
        return _recording(self.root / f"{name}.npz")


@lru_cache(maxsize=1)
def _table(path: Path) -> tuple[Rows, Labels]:
    with np.load(path, allow_pickle=False) as file:
        if not {"X", "y"} <= set(file.files):
            raise DataError(f"{path} holds {', '.join(file.files)}: it must hold X and y")
        return file["X"].astype(np.float64), file["y"].ravel() > 0


@lru_cache(maxsize=1)
def _recording(path: Path) -> Recording:
    return load(path)
