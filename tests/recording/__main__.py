"""Make the recording again: `python -m tests.recording --minutes 100 --out FILE.npz` (docs/recording.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aestream.errors import AestreamError
from tests.recording.finish import finish
from tests.recording.record import WARM_UP_SECONDS, record


def main() -> int:
    """Record, then write the npz; exit code 1 with one line when it fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.recording", description="Record a broker's telemetry.")
    parser.add_argument("--minutes", type=float, default=100.0, help="length of the recording (default: 100)")
    parser.add_argument("--out", type=Path, required=True, help="the npz file; raw rows go to a CSV beside it")
    parser.add_argument("--warm-up", type=int, default=WARM_UP_SECONDS, help="seconds of load before row 0")
    parser.add_argument("--cpus", type=int, default=0, help="number of the processor that all of it runs on")
    parser.add_argument("--finish", type=Path, metavar="RAW", help="only make the npz of a raw CSV file")
    options = parser.parse_args()
    raw = options.finish or options.out.with_suffix(".csv")
    try:
        if not options.finish:
            record(int(60 * options.minutes), raw, cpu=options.cpus, warm_up=options.warm_up)
        counts = finish(raw, options.out)
    except AestreamError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
