"""How many processor cores this process may use: in a container, fewer than the machine has.

A container's limit is a quota of its control group, which `os.cpu_count` does not show. With more threads than the
quota has cores, the kernel stops all of them for the rest of each period once they have used it up.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIPS = Path("/proc/self/cgroup")


def available(groups: Path = _GROUPS, memberships: Path = _MEMBERSHIPS) -> int:
    """The cores that quota and affinity leave to this process, at least 1; a quota of 2.5 cores counts as 2."""
    try:
        text = memberships.read_text()
    except OSError:  # not Linux
        text = ""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(quota(groups, text), allowed)))


def quota(groups: Path, memberships: str) -> float:
    """The cores that control groups leave to their member, of either version; infinity without a limit.

    `groups` is where they are mounted, and `memberships` the content of /proc/self/cgroup. What a group's parents allow
    counts too. In a container, the path of its own group may be one outside: then the mounted root is the group.
    """
    found = [math.inf]
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            read, roots = _quota, [groups, groups / "unified"]
        elif "cpu" in controllers.split(","):
            read, roots = _cfs_quota, [groups / controllers, groups / "cpu"]
        else:
            continue
        found += (read(folder) for root in roots for folder in _up(root, path))
    return min(found)


def _up(root: Path, path: str) -> Iterator[Path]:
    """A group's folder, and those of its parents."""
    names = [name for name in path.split("/") if name]
    if ".." in names:
        names = []
    for count in range(len(names), -1, -1):
        yield root.joinpath(*names[:count])


def _quota(folder: Path) -> float:
    """Version 2: "max 100000" or "150000 100000", microseconds of processor time in each period."""
    try:
        most, period = (folder / "cpu.max").read_text().split()
        return math.inf if most == "max" else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _cfs_quota(folder: Path) -> float:
    """Version 1: the same in two files; -1 for no limit."""
    try:
        most, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return math.inf if most < 0 else most / period
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
