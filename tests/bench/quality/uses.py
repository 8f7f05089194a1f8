"""The other two uses of an autoencoder: fewer dimensions, and less noise. Held-out normal rows, standardised."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import RandomState

from tests.bench.quality import measures, ours
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import SERIES, Library, Rows
from tests.bench.quality.protocols import drawn_in, halves, spaced

SERVERS = ("asd/omi-1", "asd/omi-2", "asd/omi-3", "smd/machine-2-1", "smd/machine-2-2")
NOISE = 0.5
PCA, WIENER = "PCA", "Wiener filter"
REDUCTION = (AESTREAM, PCA)
DENOISING = (AESTREAM, PCA, WIENER)
QUICK_STEP = 6


def reduction(library: Library, scope: Scope) -> Iterator[Cell]:
    """aestream and PCA at a third of the features."""
    return _cells("reduction", REDUCTION, library, scope)


def denoising(library: Library, scope: Scope) -> Iterator[Cell]:
    """aestream, PCA and the Wiener filter."""
    return _cells("denoising", DENOISING, library, scope)


def _cells(part: str, methods: tuple[str, ...], library: Library, scope: Scope) -> Iterator[Cell]:
    sets = [*library.names("adbench"), *(name for name in SERVERS if name in library.recordings())]
    for data in sets[:: QUICK_STEP if scope.quick else 1]:
        yield from (Cell(part, data, "", scope.seeds[0], method) for method in methods if scope.wants(method))


def measure_reduction(cell: Cell, library: Library) -> Figures:
    """The share of the variance of held-out rows that the latent vector keeps."""
    train, held_out = _normal(cell, library)
    size = max(1, round(train.shape[1] / 3))
    rebuilt = _projected(train, held_out, size) if cell.method == PCA else ours.compress(train, held_out, size)
    return {"explained": measures.explained(held_out, rebuilt), "latent_size": size}


def measure_denoising(cell: Cell, library: Library) -> Figures:
    """The share of the noise's energy that is left."""
    train, clean = _normal(cell, library)
    noisy = clean + NOISE * RandomState(cell.seed).standard_normal(clean.shape)
    if cell.method == PCA:  # of the size that is best for these very rows, which nobody could know
        left = min(
            measures.energy_left(clean, noisy, _projected(train, noisy, size)) for size in range(1, train.shape[1] + 1)
        )
        return {"left": left}
    denoised = _wiener(train, noisy) if cell.method == WIENER else ours.denoise(train, noisy, NOISE)
    return {"left": measures.energy_left(clean, noisy, denoised)}


def _normal(cell: Cell, library: Library) -> tuple[Rows, Rows]:
    """Normal rows to learn from and others: halves of a table; the training part and the test part of a recording."""
    if cell.folder in SERIES:
        recording = library.recording(cell.data)
        parts = (recording.train, recording.test[~recording.label])
        train, held_out = (spaced(part.astype(np.float64)) for part in parts)
    else:
        rows, label = library.table(cell.data)
        train, held_out = halves(rows[~label], cell.seed)
    return drawn_in(train, held_out)


def _projected(train: Rows, rows: Rows, size: int) -> Rows:
    """Principal components (Pearson 1901): (n, d) rows within the `size` directions of most variance."""
    directions = np.linalg.eigh(np.cov(train.T))[1][:, ::-1][:, :size]
    center = train.mean(axis=0)
    rebuilt: Rows = (rows - center) @ directions @ directions.T + center
    return rebuilt


def _wiener(train: Rows, noisy: Rows) -> Rows:
    """The linear filter of least squared error (Wiener 1949) for rows of the training covariance and known noise."""
    covariance, center = np.cov(train.T), train.mean(axis=0)
    gain = np.linalg.solve(covariance + NOISE**2 * np.eye(len(center)), covariance)
    denoised: Rows = (noisy - center) @ gain + center
    return denoised
