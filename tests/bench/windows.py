"""Whether `window="auto"` tells series from tables in random order, on the data of the quality benchmark.

AESTREAM_BENCH_DATA=... python -m tests.bench.windows [SEEDS]    # 10 unless given; prints the verdicts that are wrong

"""

import os
import sys
from collections.abc import Iterator

import numpy as np

from aestream.demo import dataset
from aestream.inference.windows import ROWS, choose_window
from tests.bench.quality.data import VARIABLE, Library, Rows

SIZES = (120, 200, 600, 2000, 6000)


def series(library: Library) -> Iterator[tuple[str, Rows]]:
    """Time series, in their order."""
    for name in library.recordings():
        yield name, library.recording(name).train.astype(np.float64)
    yield "the demo's recording", dataset.load(None).train.astype(np.float64)


def tables(library: Library, seeds: int) -> Iterator[tuple[str, Rows]]:
    """Samples of tables, in random order."""
    for name in library.tables():
        rows, _ = library.table(name)
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(rows))
            for size in SIZES:
                if size <= len(rows):
                    yield f"{name}, seed {seed}, {size} rows", rows[order[:size]]


def main(seeds: int) -> None:
    """Print the verdicts that are wrong."""
    library = Library.at(os.environ.get(VARIABLE))
    for what, samples, expected in (("series", series(library), ROWS), ("tables", tables(library, seeds), 1)):
        verdicts = [(name, choose_window(rows)) for name, rows in samples]
        wrong = [(name, verdict) for name, verdict in verdicts if verdict.rows != expected]
        print(f"{what}: {len(wrong)} of {len(verdicts)} wrong")
        for name, verdict in wrong:
            print(f"  {name}: {verdict.why}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
