"""What has been measured, a line of JSON a cell: a run that was ended goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import aestream
from tests.bench.quality.cells import Cell, Figures

# What decides aestream's figures; theirs are measured again when it changes, the peers' are not.
_DECIDES = ("detector", "features", "inference", "models", "state", "thresholds")


def product_hash() -> str:
    """Return a hash of the code that decides a score."""
    root = Path(aestream.__file__).parent
    files = [file for name in _DECIDES for file in sorted((root / name).rglob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


class Results:
    """The file of results."""

    def __init__(self, path: Path, product: str) -> None:
        self._path, self._product = path, product
        self._known = dict(self._read())

    def __contains__(self, cell: Cell) -> bool:
        """Whether the cell is measured, by today's code."""
        return cell in self._known

    def __getitem__(self, cell: Cell) -> Figures:
        """Return the figures of a cell."""
        return self._known[cell]

    def add(self, cell: Cell, figures: Figures) -> None:
        """Keep figures, in memory and in the file."""
        self._known[cell] = figures
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = {**asdict(cell), "product": self._product, "figures": figures}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self) -> Iterator[tuple[Cell, Figures]]:
        if not self._path.exists():
            return
        for text in self._path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue  # the line that was being written when a run was ended
            product, figures = line.pop("product"), line.pop("figures")
            cell = Cell(**line)
            if product == self._product or cell.of_peer:
                yield cell, figures
