"""The steps of a fit: AdamW in one cycle, as `torch.optim` has it, but without the compiler that it loads.

The first optimizer of `torch.optim` imports torch's compiler and what that needs: 150 MB, and seconds of CPU time, for
a few small matrices that are never compiled.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

# As in torch.optim.AdamW: how slowly the squares change, what keeps quotients finite, how fast weights decay.
BETA, EPSILON, DECAY = 0.999, 1e-8, 0.01
# As in torch.optim.lr_scheduler.OneCycleLR: the share of the steps in which the rate rises, how far below the highest
# one it begins, and how far below that it ends; the momentum where the rate is lowest and highest.
RISES, BEGINS, ENDS = 0.3, 25.0, 1e4
MOMENTA = (0.95, 0.85)


class OneCycle:
    """AdamW (Loshchilov and Hutter 2019) with a one-cycle learning rate (Smith and Topin 2018), for so many steps.

    `highest` is the highest rate of the cycle.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, highest: float, steps: int) -> None:
        self._parameters = list(parameters)
        self._highest, self._steps, self._step = highest, steps, 0
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters against their gradients, which are then gone."""
        rate, momentum = self._now()
        self._step += 1
        size, root = rate / (1 - momentum**self._step), (1 - BETA**self._step) ** 0.5
        for parameter, mean, squares in zip(self._parameters, self._means, self._squares, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            parameter.mul_(1 - rate * DECAY)
            mean.lerp_(gradient, 1 - momentum)
            squares.mul_(BETA).addcmul_(gradient, gradient, value=1 - BETA)
            parameter.addcdiv_(mean, (squares.sqrt() / root).add_(EPSILON), value=-size)
            parameter.grad = None

    def _now(self) -> tuple[float, float]:
        """The rate and the momentum of the next step."""
        top, last = RISES * self._steps - 1, self._steps - 1
        slow, fast = MOMENTA
        first = self._highest / BEGINS
        if self._step <= top:
            share = self._step / top
            return _between(first, self._highest, share), _between(slow, fast, share)
        share = (self._step - top) / (last - top)
        return _between(self._highest, first / ENDS, share), _between(fast, slow, share)


def _between(start: float, end: float, share: float) -> float:
    """So far from start to end, along half a cosine."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
