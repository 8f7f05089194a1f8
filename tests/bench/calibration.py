"""Achieved against requested false-alarm rate of both calibrators, on normal rows that no training saw.

    python -m tests.bench.calibration FOLDER [FOLDER ...]    # folders of ADBench sets, .npz with X and y

Protocol: at most 6000 rows by RandomState(seed).permutation; a random half of the normal ones is learnt from, all other
normal rows (at most 20,000) are counted. First the whole way, with the threshold from the detector's out-of-fold
errors; then the calibrators alone, with samples of known size drawn from the counted rows' own errors. Last, fits of
few rows, with and without the stretches that each member of the ensemble never sees.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aestream.detector.detector import Detector
from aestream.errors import DataError
from aestream.thresholds.calibrators import CALIBRATORS
from aestream.types import Matrix
from tests.bench.quality.ablation import OVERRIDES, Override

Errors = npt.NDArray[np.float64]
SEEDS = (0, 1)
RATES = (0.01, 0.001)
SAMPLES = {0.01: (25, 50, 100, 200, 400), 0.001: (250, 500, 1000, 2000)}
DRAWS = 10
# Few rows, the rate that is asked for then, and how many others are counted at most.
FEW, FEW_RATE, FEW_COUNTED = 100, 0.05, 3000


def collect(folders: Sequence[Path]) -> Iterator[tuple[str, Errors, Errors]]:
    """Per set and seed: out-of-fold errors of the rows learnt from, and the errors of the other normal rows."""
    caught: list[Errors] = []
    for kind in CALIBRATORS.values():  # what the detector calibrates on is not kept, so we listen
        fit = kind.fit
        kind.fit = lambda errors, fit=fit, **options: caught.append(errors) or fit(errors, **options)  # type: ignore[method-assign, func-returns-value]
    for name, table, label in _sets(folders):
        for seed in SEEDS:
            order = np.random.RandomState(seed).permutation(len(table))
            first, others = order[:6000], order[6000:]
            normal = first[label[first] == 0]
            half = len(normal) // 2
            rest = np.concatenate([normal[half:], others[label[others] == 0]])[:20_000]
            detector = Detector(false_alarm_rate=0.05, seed=seed).fit(table[normal[:half]])
            yield name, caught.pop(), detector.error(table[rest])


def _sets(folders: Sequence[Path]) -> Iterator[tuple[str, Matrix, npt.NDArray[np.int_]]]:
    """Name, rows (n, d) and labels (n,) of each set; 0 is normal."""
    for path in sorted(path for folder in folders for path in folder.glob("*.npz")):
        with np.load(path) as file:
            yield path.stem, file["X"].astype(np.float64), file["y"].ravel().astype(int)


def achieved(kind: str, sample: Errors, new: Errors, rate: float) -> float | None:
    """The share of new errors above the threshold / the rate; None: refused."""
    try:
        threshold = CALIBRATORS[kind].fit(sample, false_alarm_rate=rate)
    except DataError:
        return None
    return float(np.mean(new > threshold.value)) / rate


def tables(runs: Sequence[tuple[str, Errors, Errors]]) -> Iterator[str]:
    """Both tables as lines of Markdown."""
    yield "| requested | records x rate | fits | " + " | ".join(f"{kind}: mean, median" for kind in CALIBRATORS) + " |"
    yield "|" + "---|" * (3 + len(CALIBRATORS))
    for rate in RATES:
        for low, high in ((0, 1), (1, 10), (10, np.inf)):
            here = [(old, new) for _, old, new in runs if low <= len(old) * rate < high]
            if not here:
                continue
            cells = [_cell([achieved(kind, old, new, rate) for old, new in here]) for kind in CALIBRATORS]
            yield f"| {rate:.1%} | {low} to {high} | {len(here)} | {' | '.join(cells)} |"
    yield ""
    yield "| requested | sample | fits | " + " | ".join(f"{kind}: mean, median" for kind in CALIBRATORS) + " |"
    yield "|" + "---|" * (3 + len(CALIBRATORS))
    random = np.random.default_rng(0)
    for rate, sizes in SAMPLES.items():
        for size in sizes:
            found: dict[str, list[float | None]] = {kind: [] for kind in CALIBRATORS}
            large = [errors for _, _, errors in runs if len(errors) >= max(3 * size, 2 / rate)]
            for errors in large:
                draws = [random.permutation(errors) for _ in range(DRAWS)]
                for kind, ratios in found.items():
                    each = [achieved(kind, drawn[:size], drawn[size:], rate) for drawn in draws]
                    kept = [ratio for ratio in each if ratio is not None]
                    ratios.append(float(np.mean(kept)) if kept else None)
            yield f"| {rate:.1%} | {size} | {len(large)} | {' | '.join(map(_cell, found.values()))} |"


def few(folders: Sequence[Path]) -> Iterator[str]:
    """Achieved / requested rate of fits of few normal rows, as lines of Markdown."""
    yield f"| {FEW_RATE:.0%} from {FEW} records | fits | mean, median |"
    yield "|---|---|---|"
    for says, part in (
        ("each member leaves a stretch out", Override("")),
        ("without", OVERRIDES["held-out stretches"]),
    ):
        ratios: list[float | None] = []
        for _, table, label in _sets(folders):
            normal = table[label == 0]
            rows = normal[np.random.RandomState(0).permutation(len(normal))]
            if len(rows) < 2 * FEW:
                continue
            with part.applied():
                detector = Detector(false_alarm_rate=FEW_RATE).fit(rows[:FEW])
            ratios.append(float(detector.flag(rows[FEW : FEW + FEW_COUNTED]).mean()) / FEW_RATE)
        yield f"| {says} | {len(ratios)} | {_cell(ratios)} |"


def _cell(ratios: Sequence[float | None]) -> str:
    kept = [ratio for ratio in ratios if ratio is not None]
    refused = len(ratios) - len(kept)
    text = f"{np.mean(kept):.2f}, {np.median(kept):.2f}" if kept else "refused"
    return text + (f" ({refused} refused)" if kept and refused else "")


def main() -> None:
    """Print the tables."""
    folders = [Path(name) for name in sys.argv[1:]]
    if not folders or not all(folder.is_dir() for folder in folders):
        sys.exit("give one or more folders of ADBench sets")
    for line in itertools.chain(tables(list(collect(folders))), [""], few(folders)):
        print(line)


if __name__ == "__main__":
    main()
