"""Wrong verdicts on how numeric fields move, by kind of field, on generated samples.

python -m tests.bench.movement [SEEDS]    # 50 unless given: the share of wrong verdicts, and the time of one

"""

import sys
import time

import numpy as np

from tests.bench.movement.verdicts import CASES, verdicts, wrong


def main(seeds: int) -> None:
    """Print the table."""
    print(f"{'kind':45} {'wrong':>6} {'tolerated':>9} {'ms':>6}  said")
    for name, expected in CASES.items():
        begin = time.perf_counter()
        given = verdicts(name, seeds)
        spent = time.perf_counter() - begin
        rate = float(np.mean([wrong(verdict, expected) for verdict in given]))
        said = sorted({verdict.told or f"level {verdict.warning}" for verdict in given}, key=len)
        odd = next((x.told or "level" for x in given if wrong(x, expected)), said[-1])
        print(f"{name:45} {rate:6.1%} {expected.tolerated:9.0%} {1000 * spent / seeds:6.2f}  {odd}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
