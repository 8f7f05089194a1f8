"""Records to measure with: the bundled recording of a broker's telemetry, as a fleet of hosts would send it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np

from aestream.demo.dataset import load
from aestream.types import Matrix

HOSTS = 300
_STEP_ROWS = 17  # how far one host is behind the one before it, in rows of the recording
_BEGAN = 1_795_000_000


@dataclass(frozen=True)
class Telemetry:
    """Records of `names`, host by host: `matrix` (n, d), and `values`, the same as JSON with a time and the host.

    `training` (m, d) are rows of the recording to learn from.
    """

    names: Sequence[str]
    training: Matrix
    matrix: Matrix
    values: Sequence[bytes]


def telemetry(count: int, features: int = 20, *, size: int = 0) -> Telemetry:
    """Make `count` records with so many features, of at least `size` bytes.

    Each host plays the recording from another row on. More features than it has come from further such players: two
    brokers' worth of columns side by side. A larger size is filled with text, which no model reads.
    """
    recording = load(None)
    width = len(recording.names)
    train, test = (part.astype(str).astype(np.float64) for part in (recording.train, recording.test))  # few digits
    rows = np.concatenate([train, test])
    players = -(-features // width)
    names = [f"{name}_{player}" if player else name for player in range(players) for name in recording.names][:features]
    host = np.arange(count) % HOSTS
    step = np.arange(count) // HOSTS + _STEP_ROWS * host

    def played(steps: np.ndarray, rows: Matrix) -> Matrix:
        columns = [rows[(steps + 997 * player) % len(rows)] for player in range(players)]
        return np.concatenate(columns, axis=1)[:, :features]

    matrix = played(step, rows)
    training = played(np.arange(len(train)), train)
    times = [datetime.fromtimestamp(_BEGAN + at // HOSTS, UTC).isoformat() for at in range(0, count, HOSTS)]
    values = []
    for at, row in enumerate(matrix.tolist()):
        record = {"time": times[at // HOSTS], "host": f"host-{at % HOSTS:03d}", **dict(zip(names, row, strict=True))}
        value = msgspec.json.encode(record)
        if len(value) < size:
            value = msgspec.json.encode(record | {"message": "x" * (size - len(value) - 13)})
        values.append(value)
    return Telemetry(names, training, matrix, values)
