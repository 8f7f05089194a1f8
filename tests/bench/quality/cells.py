"""What is measured, one figure set at a time: a cell is one method on one data set, by one protocol, with one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Figures: TypeAlias = dict[str, float]
AESTREAM = "aestream"
_OF = ": "


def flat(by_name: Mapping[str, Figures]) -> Figures:
    """Figures of several detectors that were measured at once, as those of one cell."""
    return {f"{name}{_OF}{figure}": value for name, figures in by_name.items() for figure, value in figures.items()}


def by_name(figures: Figures) -> dict[str, Figures]:
    """Take apart what `flat` has put together."""
    found: dict[str, Figures] = {}
    for key, value in figures.items():
        name, of, figure = key.partition(_OF)
        if of:
            found.setdefault(name, {})[figure] = value
    return found


@dataclass(frozen=True, slots=True)
class Cell:
    """One unit of work; `part` is a table of the page, `data` is folder/name within the data directory."""

    part: str
    data: str
    protocol: str
    seed: int
    method: str

    @property
    def folder(self) -> str:
        """The collection that the data set belongs to."""
        return self.data.partition("/")[0]

    @property
    def of_peer(self) -> bool:
        """Whether another detector than aestream is measured: its figures outlive a change of aestream."""
        return not self.method.startswith(AESTREAM) and self.part not in {"ablation", "constants", "windows"}

    def __str__(self) -> str:
        """As the progress bar and error lines name it."""
        return " ".join(filter(None, (self.part, self.data, self.protocol, f"seed {self.seed}", self.method)))


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is measured: which seeds, methods (None: all), and whether only the quick selection."""

    seeds: tuple[int, ...] = (0, 1, 2)
    methods: frozenset[str] | None = None
    quick: bool = False

    def wants(self, method: str) -> bool:
        """Whether a method is to be measured."""
        return self.methods is None or method in self.methods
