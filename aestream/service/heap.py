"""What becomes of the memory of a batch that is done: the process keeps it for the next one.

By default glibc gives the larger pieces back to the system after each batch, and asks for them again in the next: every
page is then cleared and mapped anew, which takes up to a sixth of the time that scoring takes (`docs/benchmarks.md`).
"""

from __future__ import annotations

import ctypes

# Free memory beyond so much goes back to the system.
_KEPT_BYTES = 64 * 2**20
# Larger pieces are asked of the system, one by one: the most that glibc accepts.
_LARGE_BYTES = 32 * 2**20
# Threads share one arena: otherwise each keeps what it has freed for itself, a sixth of the process in all.
_ARENAS = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h


def keep_freed() -> bool:
    """Let this process keep what it frees. Returns False where the C library has no such option."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        and mallopt(_M_ARENA_MAX, _ARENAS)
    )
