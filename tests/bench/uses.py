"""Dimensionality reduction and denoising on held-out rows, beside PCA and the Wiener filter: `uses DATA [SET ...]`.

DATA holds `adbench`, `asd` and `smd`, as .npz files. Rows are standardised by the training rows and clipped softly
at 4, so that a few rows of fifty standard deviations do not decide alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aestream import Detector
from aestream.models.threads import use_threads

Matrix = npt.NDArray[np.float64]
ROWS, NOISE, LINEAR = 6000, 0.5, 4.0
SERIES = ("asd/omi-1", "asd/omi-2", "asd/omi-3", "smd/machine-2-1", "smd/machine-2-2")


def split(path: Path, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Normal rows to learn from and to be held out, standardised by the former."""
    with np.load(path) as data:
        if "train" in data:
            parts = [data["train"], data["test"][data["label"] == 0]]
            train, test = (
                rows[np.linspace(0, len(rows) - 1, min(len(rows), ROWS // 2)).astype(int)].astype(float)
                for rows in parts
            )
        else:
            normal = data["X"][data["y"].ravel() == 0].astype(float)
            normal = normal[np.random.RandomState(seed).permutation(len(normal))[:ROWS]]
            train, test = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    center, spread = train.mean(axis=0), train.std(axis=0)
    moving = spread > 1e-9 * np.maximum(1, np.abs(center))
    train, test = (soften((rows[:, moving] - center[moving]) / spread[moving]) for rows in (train, test))
    return train - train.mean(axis=0), test - train.mean(axis=0)


def soften(rows: Matrix) -> Matrix:
    """Grow with the logarithm beyond 4."""
    reach = np.abs(rows)
    return np.where(reach > LINEAR, np.copysign(LINEAR + np.log1p(np.maximum(reach - LINEAR, 0)), rows), rows)


def squares(rows: Matrix) -> float:
    """Sum of squares."""
    return float((rows**2).sum())


def measure(train: Matrix, test: Matrix, seed: int = 0) -> tuple[float, ...]:
    """Variance explained by PCA and by us; noise left by the best PCA, by the Wiener filter and by us."""
    size = max(1, round(train.shape[1] / 3))
    values, axes = np.linalg.eigh(train.T @ train / len(train))
    values, axes = values[::-1], axes[:, ::-1]
    total = squares(test - test.mean(axis=0))
    small = Detector(latent_size=size, seed=seed).fit(train)
    by_components = 1 - squares(test - test @ axes[:, :size] @ axes[:, :size].T) / total
    by_us = 1 - squares(test - small.decode(small.encode(test))) / total

    noise = NOISE * np.random.RandomState(seed + 1).standard_normal(test.shape)
    noisy, energy = test + noise, squares(noise)
    cut = min(squares(noisy @ axes[:, :k] @ axes[:, :k].T - test) for k in range(1, len(values) + 1)) / energy
    wiener = squares(noisy @ (axes * (values / (values + NOISE**2))) @ axes.T - test) / energy
    left = squares(Detector(noise=NOISE, seed=seed).fit(train).denoise(noisy) - test) / energy
    return by_components, by_us, cut, wiener, left


def main() -> None:
    """Print a line for each set and the means."""
    use_threads(1)
    root, chosen = Path(sys.argv[1]), sys.argv[2:]
    names = chosen or [f"adbench/{path.stem}" for path in sorted((root / "adbench").glob("*.npz"))] + list(SERIES)
    print(f"{'set':24}{'PCA':>8}{'encode':>8}{'PCA':>10}{'Wiener':>8}{'denoise':>8}")
    table = []
    for name in names:
        table.append(measure(*split(root / f"{name}.npz")))
        print(f"{name:24}{_cells(table[-1])}", flush=True)
    print(f"{'mean':24}{_cells(tuple(np.mean(table, axis=0)))}")


def _cells(row: tuple[float, ...]) -> str:
    return "".join(f"{cell:{width}.3f}" for cell, width in zip(row, (8, 8, 10, 8, 8), strict=True))


if __name__ == "__main__":
    main()
