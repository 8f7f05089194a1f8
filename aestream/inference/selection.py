"""What the user asked of the fields: which to use or leave out, what to do with missing values, what entities are."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aestream.columns import POLICIES

_GLOB = re.compile(r"[*?\[]")
# What a name in a comma-separated list of names and globs cannot hold; `?` stands for it.
_UNWRITABLE = re.compile(r"[,*?\[`]|[^\S ]|^ | $")


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for.

    `include` and `exclude` are names or globs on dotted names; an exact name in `include` forces a field in. Of
    `timestamps` the time of day and the weekday are used. `missing` are policies (see `imputes`). `units`: texts to
    read as numbers with a unit. `key`: the fields that tell entities apart. `time`: the field that orders records.
    `rates`: whether counters are used by their increase per second, which takes a memory of each entity.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    timestamps: Sequence[str] = ()
    missing: Sequence[str] = ()
    units: Sequence[str] = ()
    key: Sequence[str] = ()
    time: str | None = None
    rates: bool = False

    @property
    def named(self) -> Mapping[str, str]:
        """The fields that are given by an exact name, with the option that names them first."""
        globs = {"include": self.include, "timestamps": self.timestamps, "units": self.units}
        pairs = [(name, option) for option, names in globs.items() for name in names if not _GLOB.search(name)]
        pairs += [(name, "key") for name in self.key]
        pairs += [(self.time, "time")] if self.time else []
        return dict(reversed(pairs))

    def forces(self, name: str) -> bool:
        """Whether a field is to be used although inference would leave it out: a `*` does not say so."""
        return matches(name, [wanted for wanted in self.include if wanted == name or "*" not in wanted])

    def ruled_out(self, name: str) -> str:
        """Say why a field is not wanted; nothing if it may be."""
        if matches(name, self.exclude):
            if name in self.key:
                return "tells entities apart"
            return "tells the time of the records" if name == self.time else "excluded by name"
        if self.include and not matches(name, self.include) and not matches(name, self.timestamps):
            return "not among the fields to include"
        return ""


def imputes(name: str, missing: Sequence[str]) -> bool:
    """Whether missing values of a feature are imputed.

    The items of `missing` are `POLICY`, for all features, or `NAME=POLICY`; the last one that matches wins.
    """
    policy = POLICIES[0]
    for item in missing:
        pattern, _, wanted = item.rpartition("=")
        if not pattern or matches(name, [pattern]):
            policy = wanted
    return policy == "impute"


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a field is named by one of these names or globs."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def written(name: str) -> str:
    """A name as it can stand in a comma-separated list, as a glob where it cannot."""
    return _UNWRITABLE.sub("?", name)
