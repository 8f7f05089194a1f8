"""How many threads torch uses."""

import torch


def use_threads(count: int) -> None:
    """Let a forward or backward pass use `count` threads. Without this, torch uses every core of the machine."""
    torch.set_num_threads(count)
