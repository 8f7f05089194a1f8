"""How many threads a product of matrices uses."""

import numpy as np  # noqa: F401 - only what is loaded can be limited
import threadpoolctl

from aestream import cores


def use_threads(count: int) -> int:
    """Let numpy's linear algebra use `count` threads, or as many as there are cores; return how many.

    Without this, it uses every core of the machine.
    """
    used = min(count, cores.available())
    threadpoolctl.threadpool_limits(limits=used, user_api="blas")
    return used
