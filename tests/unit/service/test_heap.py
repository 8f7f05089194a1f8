"""Memory that is freed stays with the process, within a bound."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from aestream.service import heap

# Eight arrays of 1 MB are made, filled and freed, again and again; then 256 of them at once.
FAULTS = """
import resource, sys
import numpy as np
import psutil
from aestream.service import heap

kept = heap.keep_freed() if sys.argv[1] == "kept" else None
some = lambda count: [np.ones(2**17) for _ in range(count)]
some(8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    some(8)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
small = psutil.Process().memory_info().rss
many = some(256)
del many
print(kept, faults, psutil.Process().memory_info().rss - small)
"""


def measured(how: str) -> tuple[str, int, int]:
    """What `keep_freed` returned, page faults, and bytes that stay with a process that has used 256 MB."""
    done = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
    kept, faults, more = done.stdout.split()
    return kept, int(faults), int(more)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has another allocator")
def test_memory_is_kept_for_the_next_batch_but_not_without_end() -> None:
    kept, faults, more = measured("kept")
    assert kept == "True"
    assert faults < measured("as it is")[1] / 10
    assert more < 80 * 2**20


def test_a_c_library_without_the_option_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert heap.keep_freed() is False
