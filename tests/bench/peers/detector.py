"""The detector that the programs share: one autoencoder, as one would write it by hand, in torch.

It does less than aestream's: one network in place of six, no latent bounds, no memory, no explanation.

Also its training, so that each program only loads it: `python detector.py ROWS.npy MODEL`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN, LATENT = 64, 8
EPOCHS, ROWS_AT_ONCE = 20, 256
QUANTILE = 0.999


def network(features: int) -> nn.Module:
    """d -> 64 -> 8 -> 64 -> d."""
    return nn.Sequential(
        nn.Linear(features, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, LATENT),
        nn.Linear(LATENT, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, features),
    )


def mean_squared(model: nn.Module, rows: Tensor) -> Tensor:
    """The reconstruction error of each row, (n, d) -> (n,)."""
    error: Tensor = (model(rows) - rows).square().mean(dim=1)
    return error


class Detector:
    """A trained network with the scales of its features and its threshold."""

    def __init__(self, model: str) -> None:
        torch.set_num_threads(1)
        saved = torch.load(model, weights_only=True)
        self.names: list[str] = saved["names"]
        self.threshold: float = saved["threshold"]
        self._center, self._scale = saved["center"], saved["scale"]
        self._network = network(len(self.names)).eval()
        self._network.load_state_dict(saved["network"])

    def errors(self, records: Sequence[Mapping[str, Any]]) -> list[float]:
        """The reconstruction error of each record."""
        rows = torch.tensor([[record[name] for name in self.names] for record in records])
        with torch.inference_mode():
            found: list[float] = mean_squared(self._network, (rows - self._center) / self._scale).tolist()
        return found

    def result(self, error: float, topic: str, partition: int | None, offset: int | None) -> dict[str, Any]:
        """What is sent on of a record."""
        return {
            "score": min(error / self.threshold, 1.0),
            "anomaly": error > self.threshold,
            "error": error,
            "threshold": self.threshold,
            "source": {"topic": topic, "partition": partition, "offset": offset},
        }


def train(rows: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Fit a network to rows (n, d), and save it."""
    torch.manual_seed(0)
    inputs = torch.from_numpy(rows.astype(np.float32))
    center, scale = inputs.mean(dim=0), inputs.std(dim=0) + 1e-6
    scaled = (inputs - center) / scale
    model = network(rows.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(scaled)).split(ROWS_AT_ONCE):
            optimizer.zero_grad()
            mean_squared(model, scaled[part]).mean().backward()
            optimizer.step()
    with torch.no_grad():
        threshold = float(mean_squared(model, scaled).quantile(QUANTILE))
    saved = {"names": list(names), "center": center, "scale": scale, "threshold": threshold}
    torch.save({**saved, "network": model.state_dict()}, path)


if __name__ == "__main__":
    found = np.load(sys.argv[1])
    train(found["rows"], found["names"].tolist(), Path(sys.argv[2]))
