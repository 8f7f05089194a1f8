"""The one training loop: seeded mini-batches, noisy inputs, trimmed loss, validation, early stopping."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from aestream.models.base import Autoencoder
from aestream.models.optimizer import OneCycle
from aestream.networks.progress import Progress, Training
from aestream.types import Floats


class Inputs(Protocol):
    """The inputs of n records by their numbers: an array (n, d), or what looks windows up."""

    def __getitem__(self, numbers: NDArray[Any], /) -> Floats:
        """The inputs of these records, (...) -> (..., d)."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices of a fit are small; and the same rows and seed give the same weights on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def fit(
    model: Autoencoder,  # M members
    rows: Inputs,  # scaled features of n rows or windows, and after them the model's context
    seen: NDArray[Any],  # (M, s) row numbers that each member learns from
    unseen: NDArray[Any],  # (M, u) row numbers that each member is validated on
    *,
    steps: int,  # the most batches
    noise: float,  # standard deviations of a feature
    swap: float = 0.0,  # share of the features that come from another row
    seed: int,  # of batches and noise
    batch_size: int = 256,  # rows in a batch, for each member
    learning_rate: float = 4e-3,  # the highest one of the cycle
    trim: float = 0.3,  # share of each batch that is not learnt
    checks: int = 20,  # of the validation loss, in a full fit
    patience: int = 5,  # checks without a gain until the fit ends
    validation_noise: float = 0.0,  # standard deviations of the noise on the validation rows
    progress: Callable[[Progress], None] | None = None,  # called at every check
) -> Training:
    """Train in place; keep the weights that best reconstruct the rows that each member does not learn from.

    AdamW (Loshchilov and Hutter 2019) with a one-cycle learning rate (Smith and Topin 2018). The network sees the rows
    with Gaussian noise of standard deviation `noise`, and with a share `swap` of the features from another row, in a
    window from all of its rows. It has to reconstruct them without either (Vincent et al. 2008). The worst `trim` of
    every batch is not learnt, so that an anomaly among them stays one; it does not count in the validation either. The
    validation loss is checked `checks` times, and the fit ends after `patience` checks without a gain. The same seed
    gives the same weights. The defaults of `batch_size`, `learning_rate` and `trim` are compared with other values by
    `python -m tests.bench.quality --parts constants`; those of the checks only save time.
    """
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    optimizer = OneCycle(model.parameters(), highest=learning_rate, steps=steps)
    numbers, shape = torch.from_numpy(seen), (model.members, min(batch_size, seen.shape[1]))
    asked = torch.from_numpy(rows[unseen])  # (M, u, d + c)
    held_out = asked[..., : model.features]
    if validation_noise:
        asked = torch.randn(asked.shape, generator=generator).mul_(validation_noise).add_(asked)
    best, best_weights, stale, average, step = float("inf"), _copy(model), 0, 0.0, 0

    for step in range(1, steps + 1):
        drawn = numbers.gather(1, torch.randint(seen.shape[1], shape, generator=generator))
        whole = torch.from_numpy(rows[drawn.numpy()])  # (M, B, d + c)
        batch = whole[..., : model.features]
        noisy = torch.randn(batch.shape, generator=generator).mul_(noise).add_(batch)
        if swap:
            noisy = _swapped(noisy, batch, swap, model.rows, generator)
        if model.context:
            noisy = torch.cat([noisy, whole[..., model.features :]], dim=2)
        losses = _trimmed_error(model(noisy), batch, trim)
        # each member has its own weights, so the sum trains all of them at once
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

        loss = losses.detach().mean().item()
        average = loss if step == 1 else 0.95 * average + 0.05 * loss
        if step % max(1, steps // checks) and step != steps:
            continue
        with torch.inference_mode():
            validation = _trimmed_error(model(asked), held_out, trim).mean().item()
        if progress:
            progress(Progress(step, steps, average, validation))
        if validation < best:
            best, best_weights, stale = validation, _copy(model), 0
        elif (stale := stale + 1) >= patience:
            break

    model.load_state_dict(best_weights)
    model.eval()
    return Training(step, average, best, time.perf_counter() - started)


def _swapped(noisy: Tensor, batch: Tensor, share: float, rows: int, generator: torch.Generator) -> Tensor:
    """Take a share of the features of each of (M, B, d) windows of so many rows from the window before it."""
    windows = batch.reshape(*batch.shape[:2], rows, -1)
    chosen = torch.rand((*windows.shape[:2], 1, windows.shape[3]), generator=generator) < share
    return torch.where(chosen, windows.roll(1, dims=1), noisy.view_as(windows)).flatten(2)


def _trimmed_error(rebuilt: Tensor, rows: Tensor, trim: float) -> Tensor:
    """Each member's mean squared error over all but the worst `trim` of its rows, (M, B, d) -> (M,)."""
    errors = (rebuilt - rows).square().mean(2)
    kept = max(1, round(errors.shape[1] * (1 - trim)))
    inner: Tensor = errors.topk(kept, dim=1, largest=False, sorted=False).values
    return inner.mean(1)


def _copy(model: Autoencoder) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}
