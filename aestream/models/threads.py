"""How many threads torch uses."""

import torch

from aestream import cores


def use_threads(count: int) -> int:
    """Let a forward or backward pass use `count` threads, or as many as there are cores; return how many.

    Without this, torch uses every core of the machine.
    """
    used = min(count, cores.available())
    torch.set_num_threads(used)
    return used
