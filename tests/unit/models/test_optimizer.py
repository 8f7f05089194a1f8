import subprocess
import sys

import pytest
import torch
from torch import nn

from aestream.models.optimizer import OneCycle


def fitted(steps: int, *, by_torch: bool) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    rows = torch.randn(200, 5, generator=random)
    weight = nn.Parameter(torch.randn(5, 3, generator=random))
    ours = OneCycle([weight], highest=4e-2, steps=steps)
    theirs = torch.optim.AdamW([weight], lr=4e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 4e-2, total_steps=steps)
    for _ in range(steps):
        (rows - rows @ weight @ weight.T).square().mean().backward()  # type: ignore[no-untyped-call]
        if by_torch:
            theirs.step()
            schedule.step()
            theirs.zero_grad()
        else:
            ours.step()
    return weight.detach()


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_it_takes_the_same_steps_as_torch(steps: int) -> None:
    torch.testing.assert_close(fitted(steps, by_torch=False), fitted(steps, by_torch=True), rtol=1e-6, atol=1e-7)


def test_a_fit_does_not_load_the_compiler() -> None:
    program = """
import sys
from aestream import Detector
import numpy as np
Detector(window=1, steps=3, latent_size=2).fit(np.random.default_rng(0).normal(size=(50, 4)))
assert "torch" in sys.modules
print(sorted(name for name in ("torch._dynamo", "sympy", "triton") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
