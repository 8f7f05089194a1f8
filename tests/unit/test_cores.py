"""How many cores there are, from files as the kernel shows them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import threadpoolctl

from aestream import cores
from aestream.networks.threads import use_threads

V1 = "5:memory:/a\n4:cpu,cpuacct:/a/b\n1:name=systemd:/a\n"


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("memberships", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {}, math.inf),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/outside/of/the/container\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/../../outside\n", {"cpu.max": "300000 100000\n"}, 3),
        ("4:cpu:/\n0::/a\n", {"unified/a/cpu.max": "400000 200000\n"}, 2),
        (V1, {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "250000", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n"}, 2.5),
        (V1, {"cpu/cpu.cfs_quota_us": "70000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.7),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "-1\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}, math.inf),
        (V1, {"memory/a/cpu.cfs_quota_us": "100000\n", "memory/a/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "what is this\n"}, math.inf),
        ("", {"cpu.max": "100000 100000\n"}, math.inf),
    ],
)
def test_a_quota_is_read_as_the_kernel_shows_it(
    tmp_path: Path, memberships: str, files: Mapping[str, str], expected: float
) -> None:
    assert cores.quota(write(tmp_path, files), memberships) == pytest.approx(expected)


@pytest.mark.parametrize(("most", "expected"), [("50000", 1), ("100000", 1), ("199000", 1), ("100000000", None)])
def test_a_part_of_a_core_is_none_and_there_is_always_one(tmp_path: Path, most: str, expected: int | None) -> None:
    groups = write(tmp_path, {"groups/cpu.max": f"{most} 100000\n", "memberships": "0::/\n"}) / "groups"
    mine = len(os.sched_getaffinity(0))
    assert cores.available(groups, tmp_path / "memberships") == (expected or mine)


def test_a_machine_without_control_groups_has_all_its_cores(tmp_path: Path) -> None:
    assert cores.available(tmp_path, tmp_path / "nothing") == len(os.sched_getaffinity(0))


def test_threads_are_never_more_than_the_cores_of_this_process() -> None:
    with threadpoolctl.threadpool_limits():  # puts them back
        for asked, used in ((1, 1), (10_000, cores.available())):
            assert use_threads(asked) == used
            found = threadpoolctl.threadpool_info()
            assert {pool["num_threads"] for pool in found if pool["user_api"] == "blas"} == {used}
